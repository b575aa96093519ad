"""Durable and scheduled work on DBOS: steps that survive a kill, schedules that fire once, workers that stand in."""
