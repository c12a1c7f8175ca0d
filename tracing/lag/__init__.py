"""Measure the lag of consumer groups from outside, in records and in seconds.

Needs the extra `cli`, which brings aiokafka. The command line is `python -m tracing lag`.
"""

from tracing.core.extras import missing_extra

try:
    from tracing.headers.dead_letter_formats import DeadLetterFormats
    from tracing.kafka.connection import Connection
    from tracing.lag.brokers import ClusterState
    from tracing.lag.catch_up import CatchUp
    from tracing.lag.inflow import InflowShare
    from tracing.lag.model import (
        Cause,
        CommandTopic,
        DeadLetterDepth,
        GroupLag,
        PartitionLag,
        Status,
        Sweep,
    )
    from tracing.lag.monitor import LagMonitor
    from tracing.lag.retention import RetentionUse
    from tracing.lag.velocity import Velocity
except ModuleNotFoundError as error:
    raise missing_extra("tracing.lag", "cli", error) from error

__all__ = [
    "CatchUp",
    "Cause",
    "ClusterState",
    "CommandTopic",
    "Connection",
    "DeadLetterDepth",
    "DeadLetterFormats",
    "GroupLag",
    "InflowShare",
    "LagMonitor",
    "PartitionLag",
    "RetentionUse",
    "Status",
    "Sweep",
    "Velocity",
]
