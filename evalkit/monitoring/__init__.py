"""Monitors: scheduled checks of what a registered model says in production."""
