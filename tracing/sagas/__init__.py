"""Sagas as spans and metrics: what was started, what ended how, what is overdue."""
