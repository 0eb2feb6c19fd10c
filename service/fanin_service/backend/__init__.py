"""The backend of the service, and its tests."""
