"""Where generation and feature extraction run: in this process (`local`), or on the workers of a Ray cluster."""
