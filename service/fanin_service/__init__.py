"""The Fanin service: weights over HTTP, generated while they are sent. Apart from named models it keeps no state."""
