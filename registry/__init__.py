"""The registry: models with the suites that judge them, gates and promotion."""
