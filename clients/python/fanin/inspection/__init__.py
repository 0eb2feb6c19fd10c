"""Inspection: statistics of tensors, the signal in a model, and findings with their evidence."""
