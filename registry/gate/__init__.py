"""The gate: rules over estimates become a recorded decision."""
