"""Artifacts that the service makes."""
