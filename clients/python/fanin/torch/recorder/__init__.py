"""The recorder of PyTorch: it follows the construction of a model, operation by operation, and writes a recipe."""
