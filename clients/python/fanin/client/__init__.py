"""The client of a Fanin service: requests, retries, parallel ranges, verification."""
