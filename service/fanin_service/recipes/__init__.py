"""Recipes that the service has registered, in memory and on disk, with their limits and digests."""
