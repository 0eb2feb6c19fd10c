"""Access: the client that sent a request, and its rights."""
