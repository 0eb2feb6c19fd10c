"""Telemetry: the record of each request, metrics, logs and traces."""
