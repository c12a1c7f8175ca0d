"""Sagas as spans and metrics: how many started, how each ended, which are overdue."""
