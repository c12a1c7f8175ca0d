"""Rebuild read models from the log: what a partition holds, and how far a read model is in it."""

from tracing.replay.positions import AtOffset, AtTime, End, LogPartition, LogRange, Position, Start

__all__ = ["AtOffset", "AtTime", "End", "LogPartition", "LogRange", "Position", "Start"]
