"""Generators: adapters that make images or text from a registered model."""
