"""Artifacts: checkpoints that the service writes to an operator's destination."""
