"""Rules that make findings: about one tensor, several, their expected distributions, and the signal."""
