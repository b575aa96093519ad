"""Metrics of image generators, on features and class probabilities."""
