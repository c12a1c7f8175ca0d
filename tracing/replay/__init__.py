"""Rebuild read models from the log, beside the live ones, and switch over without a gap.

A log keeps what happened, so a read model can be built again: after its code has changed, after its
rows were damaged, or because it is new::

    async with tracing.replay.kafka_source(bootstrap_servers="localhost:9092") as source:
        store = tracing.sql.SqlReplayStore(engine, read_models, projection)
        await tracing.replay.replay(source, store, decode, telemetry)

The core works with any log and any store (`ReplaySource`, `ReplayStore`). Needs the extra `cli`
for aiokafka.
"""

from tracing.replay.batch_span import ReplayedBatch, current_replay
from tracing.replay.kafka import KafkaSource, kafka_source
from tracing.replay.log_ends import Freshness, KnownLog, LogEnds
from tracing.replay.plan import Decode, ReplayOptions, refused_for_good
from tracing.replay.positions import AtOffset, AtTime, End, LogPartition, LogRange, Position, Start
from tracing.replay.progress import Phase, ProgressCallback, ReplayProgress
from tracing.replay.replaying import replay
from tracing.replay.seams import (
    AlreadyReplayedError,
    AppliedBatch,
    Claim,
    MostLeftOutError,
    ReplayError,
    ReplaySource,
    ReplayStore,
    Rest,
)

__all__ = [
    "AlreadyReplayedError",
    "AppliedBatch",
    "AtOffset",
    "AtTime",
    "Claim",
    "Decode",
    "End",
    "Freshness",
    "KafkaSource",
    "KnownLog",
    "LogEnds",
    "LogPartition",
    "LogRange",
    "MostLeftOutError",
    "Phase",
    "Position",
    "ProgressCallback",
    "ReplayError",
    "ReplayOptions",
    "ReplayProgress",
    "ReplaySource",
    "ReplayStore",
    "ReplayedBatch",
    "Rest",
    "Start",
    "current_replay",
    "kafka_source",
    "refused_for_good",
    "replay",
]
