"""The demonstration: real data, models trained on the spot, everything from registration to promotion."""
