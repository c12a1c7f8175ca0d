"""What an operator has allowed and set, for all pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tracing.delivery.dead_letter_names import REPLAY_TOPIC, TOPIC
from tracing.headers.dead_letter_formats import FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracing.headers.dead_letter_formats import DeadLetterFormats
    from tracing.kafka.connection import Connection
    from tracing.telemetry import Telemetry

PAGE: Final = 50
"""Dead letters on a page, and so the largest number that is replayed at once."""

READ_S: Final = 10.0
"""How long to read for one page, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options of the server.

    Attributes:
        connection: The cluster.
        is_dead_letter_topic: Returns whether a topic holds dead letters; no other is read.
        explain: Returns what the operator can do about an error; `None` for a mistake in the
            program.
        template: How dead-letter topics are named, as in `DeadLetters(topic=...)`.
        formats: How dead letters of other systems name their origin.
        replay_topic: The topic that remembers replays.
        timeout_s: How long to wait for a broker, in seconds.
        read_s: How long to read for one page, in seconds. What was not read by then is not shown,
            and the page says so.
        page: Dead letters on a page.
        trace_url: The URL of a trace, with `{trace_id}` for its id.
        show_payload: Whether pages can show keys, values, stack traces and all values of headers.
        telemetry: For the spans and counts of replays; without it, nothing is ever replayed.
    """

    connection: Connection
    is_dead_letter_topic: Callable[[str], bool]
    explain: Callable[[Exception], str | None]
    template: str = TOPIC
    formats: DeadLetterFormats = FORMATS
    replay_topic: str = REPLAY_TOPIC
    timeout_s: float = 30.0
    read_s: float = READ_S
    page: int = PAGE
    trace_url: str | None = None
    show_payload: bool = False
    telemetry: Telemetry | None = None

    @property
    def allow_replay(self) -> bool:
        """Whether dead letters can be replayed."""
        return self.telemetry is not None
