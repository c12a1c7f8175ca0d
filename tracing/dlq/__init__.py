"""Read, summarise, replay and purge dead letters.

Needs the extra `cli`, which brings aiokafka. The command line is `python -m tracing dlq`.
"""

from tracing.core.extras import missing_extra

try:
    from tracing.dlq.outgoing import replay_headers
    from tracing.dlq.places import LetterId
    from tracing.dlq.purging import Purge, purge, purgeable
    from tracing.dlq.reading import Letter, dead_letter_topics, letters
    from tracing.dlq.replay_log import ReplayLog
    from tracing.dlq.replayed import ReplayHistory, ReplayState, ReplayStatus
    from tracing.dlq.replaying import Replayed, replay
    from tracing.dlq.selection import Selection
    from tracing.dlq.summary import Group, Summary
    from tracing.headers.dead_letter_formats import DeadLetterFormats
    from tracing.kafka.connection import Connection
except ModuleNotFoundError as error:
    raise missing_extra("tracing.dlq", "cli", error) from error

__all__ = [
    "Connection",
    "DeadLetterFormats",
    "Group",
    "Letter",
    "LetterId",
    "Purge",
    "ReplayHistory",
    "ReplayLog",
    "ReplayState",
    "ReplayStatus",
    "Replayed",
    "Selection",
    "Summary",
    "dead_letter_topics",
    "letters",
    "purge",
    "purgeable",
    "replay",
    "replay_headers",
]
