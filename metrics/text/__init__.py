"""Metrics of text generators and language models."""
