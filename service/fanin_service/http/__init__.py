"""HTTP: bodies, queries, ranges, problems and responses."""
