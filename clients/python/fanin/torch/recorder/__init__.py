"""The recorder of PyTorch: a model's construction is followed operation by operation, and becomes a recipe."""
