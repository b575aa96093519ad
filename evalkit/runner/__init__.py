"""The runner: outputs stored once, scored in mergeable states, resumable after a kill at any moment."""
