"""Measure the lag of consumer groups from outside, in records and in seconds.

Needs the extra `cli`, which brings aiokafka. The command line is `python -m tracing lag`.
"""

from tracing.headers.dead_letter_formats import DeadLetterFormats
from tracing.kafka.connection import Connection
from tracing.lag.model import DeadLetterDepth, GroupLag, PartitionLag, Status, Sweep
from tracing.lag.monitor import LagMonitor

__all__ = [
    "Connection",
    "DeadLetterDepth",
    "DeadLetterFormats",
    "GroupLag",
    "LagMonitor",
    "PartitionLag",
    "Status",
    "Sweep",
]
