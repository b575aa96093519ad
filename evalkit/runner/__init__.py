"""The runner: generate once, score many times, survive being killed."""
