"""Feature extractors: whatever loads weights to turn images into features."""
