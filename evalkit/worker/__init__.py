"""Work that nobody waits for: evaluations of new versions, and deliveries of events."""
