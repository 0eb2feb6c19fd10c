"""Access: who sent a request, and whether they may."""
