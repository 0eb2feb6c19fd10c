"""Every model that can be had, recorded, and its recipe compared with the model's own run."""
