"""Generations as they happen in production: the client that sends them, the endpoint, the buffer that keeps them."""
