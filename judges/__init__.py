"""Judges: whatever gives a verdict on one sample."""
