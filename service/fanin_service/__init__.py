"""The Fanin service: weights over HTTP, generated while they are sent. It holds nothing that it cannot lose."""
