"""The server: command, HTTP protocol, start and stop, TLS."""
