"""What the options take, told apart from what they do not before anything is done."""

from __future__ import annotations

import math
import re
from typing import Any

import click

from tracing.cli.moments import parse_moment
from tracing.delivery.dead_letter_names import DeadLetterNames
from tracing.dlq.places import LetterId

_LONGEST_S = 86_400.0
_address = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s\[\]:,/@]+)(?::([0-9]{1,5}))?").fullmatch
_MAX_PORT = 65_535


class Moment(click.ParamType[int]):
    """An age or a time, as unix ms."""

    name = "AGE|TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it."""
        try:
            return parse_moment(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class LetterName(click.ParamType[LetterId]):
    """A dead letter's id."""

    name = "TOPIC/PARTITION/OFFSET"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> LetterId:
        """Read it."""
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
        """Read it."""
        if isinstance(value, DeadLetterNames):
            return value
        try:
            return DeadLetterNames(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Positive(click.ParamType[float]):
    """A number above 0, at most that of the seconds of a day."""

    name = "NUMBER"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read it."""
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        # Comparisons that no NaN passes.
        if not 0 < number <= _LONGEST_S:
            self.fail(f"{value!r} is no number above 0 and up to {_LONGEST_S:g}", param, ctx)
        return number


class Addresses(click.ParamType[str]):
    """Where a cluster is."""

    name = "HOST:PORT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read it."""
        for address in str(value).split(","):
            found = _address(address.strip())
            if found is None or not 0 < int(found[1] or 1) <= _MAX_PORT:
                # What stands before an @ may be a password.
                shown = "what is given" if "@" in address else repr(address)
                self.fail(f"{shown} is not of the form HOST:PORT", param, ctx)
        return str(value)
