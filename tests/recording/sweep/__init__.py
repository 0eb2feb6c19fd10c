"""Record every available model, and compare its recipe with a run of the model."""
