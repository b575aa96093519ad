"""evalkit: decide whether a generative model may ship, and know when it goes wrong afterwards."""
