"""Types of option values: they reject a bad value before a command does anything."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from time import time
from typing import TYPE_CHECKING, Any, Final

import click

from tracing.core.times import UNITS
from tracing.delivery.dead_letter_names import DeadLetterNames
from tracing.headers.dead_letter_formats import ORIGIN_FIELDS
from tracing.kafka.transport import is_topic_name

if TYPE_CHECKING:
    from tracing.dlq.places import LetterId

TRACE_ID: Final = "{trace_id}"
"""Where the id of a trace stands in the URL of a trace."""

_LONGEST_S = 86_400.0
_address = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s\[\]:,/@]+)(?::([0-9]{1,5}))?").fullmatch
_MAX_PORT = 65_535
_AGE: Final = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d|w)")


class Moment(click.ParamType[int]):
    """An age or a time, converted to unix ms."""

    name = "AGE|TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Convert the text."""
        try:
            return parse_moment(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class DeadLetterName(click.ParamType["LetterId"]):
    """A dead letter's id."""

    name = "TOPIC/PARTITION/OFFSET"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> LetterId:
        """Convert the text."""
        from tracing.dlq.places import LetterId

        try:
            return LetterId.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Template(click.ParamType[DeadLetterNames]):
    """How dead-letter topics are named."""

    name = "TEMPLATE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> DeadLetterNames:
        """Convert the text."""
        if isinstance(value, DeadLetterNames):
            return value
        try:
            return DeadLetterNames(str(value), is_topic_name)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class OriginHeader(click.ParamType[tuple[str, str]]):
    """What a header of the user's own holds, and its name."""

    name = "FIELD=HEADER"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Convert the text."""
        if isinstance(value, tuple):
            return value
        field, equals, header = str(value).partition("=")
        if field not in ORIGIN_FIELDS or not equals or not header:
            self.fail(
                f"{value!r} is not FIELD=HEADER with a FIELD of {', '.join(ORIGIN_FIELDS)}",
                param,
                ctx,
            )
        return field, header


class TopicName(click.ParamType[str]):
    """A name that a topic can have."""

    name = "TOPIC"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check the text."""
        if not is_topic_name(str(value)):
            self.fail(f"{value!r} cannot be the name of a topic", param, ctx)
        return str(value)


class Duration(click.ParamType[float]):
    """A duration, converted to seconds."""

    name = "DURATION"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Convert the text."""
        duration = _AGE.fullmatch(str(value).strip())
        if duration is None:
            self.fail(f"{value!r} is not a duration, such as 90s, 15m or 2h", param, ctx)
        return float(duration[1]) * UNITS[duration[2]]


class Positive(click.ParamType[float]):
    """A number above 0, at most the seconds of a day."""

    name = "NUMBER"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Convert the text."""
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        # NaN fails this comparison.
        if not 0 < number <= _LONGEST_S:
            self.fail(f"{value!r} is not a number above 0 and up to {_LONGEST_S:g}", param, ctx)
        return number


class NamePattern(click.ParamType[str]):
    """A regular expression for whole names."""

    name = "PATTERN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check the text."""
        from tracing.lag.choice import patterns

        try:
            patterns([str(value)])
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return str(value)


class Addresses(click.ParamType[str]):
    """The addresses of a cluster."""

    name = "HOST:PORT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Convert the text."""
        for address in str(value).split(","):
            match = _address(address.strip())
            if match is None or not 0 < int(match[1] or 1) <= _MAX_PORT:
                # The text before an @ may be a password.
                shown = "an address" if "@" in address else repr(address)
                self.fail(f"{shown} is not of the form HOST:PORT", param, ctx)
        return str(value)


class TraceUrl(click.ParamType[str]):
    """The URL of a trace, with a place for its id."""

    name = "URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check the text."""
        url = str(value)
        if not url.startswith(("http://", "https://")) or TRACE_ID not in url:
            self.fail(
                f"{url!r} is not the URL of a page with {TRACE_ID} in it, such as "
                f"https://jaeger.example/trace/{TRACE_ID}",
                param,
                ctx,
            )
        return url


def parse_moment(text: str) -> int:
    """Parse an age, for example `15m` or `2d`, or an ISO 8601 date or time, to unix ms.

    A time without a zone is UTC.

    Raises:
        ValueError: The text is neither.
    """
    age = _AGE.fullmatch(text.strip())
    if age is not None:
        # Unix time begins in 1970, and so do Kafka's timestamps.
        return int(max(0.0, time() - float(age[1]) * UNITS[age[2]]) * 1000)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(
            f"{text!r} is neither an age, such as 90s, 15m, 2h or 3d, nor a time, such as "
            "2026-11-23T03:00"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)
