"""Signatures of artifacts, in the form of OpenSSF Model Signing, and their provenance."""
