"""Destinations: where the objects of an artifact are, a directory or a bucket."""
