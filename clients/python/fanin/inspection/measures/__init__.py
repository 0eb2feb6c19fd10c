"""Measures of a tensor: statistics, spectra, patterns, effects of storage types, distances of distributions."""
