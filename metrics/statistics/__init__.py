"""Intervals, paired comparison, multiple testing and sample size."""
