"""Inputs of the public vectors, and what `generate.py` writes for them: a module for each subject."""
