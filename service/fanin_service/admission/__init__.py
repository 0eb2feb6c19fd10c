"""Admission: limits of requests, streams and bytes."""
