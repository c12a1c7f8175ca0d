"""Why connections to brokers failed: aiokafka only logs it, and raises that none was made."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST: Final = 32
_CLIENT: Final = "aiokafka"


class Attempt(NamedTuple):
    """A connection that failed.

    Attributes:
        place: Its address; for a broker of which the cluster gave the address, its node id.
        error: Why.
    """

    place: str
    error: Exception


class _Attempts(logging.Handler):
    """Keeps the errors of the last connections that failed, by broker."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.by_broker: dict[str, Attempt] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the error of a failed connection; other lines are not for the user."""
        if not isinstance(record.args, tuple) or not str(record.msg).startswith("Unable "):
            return
        *place, error = record.args
        if place and isinstance(error, Exception) and len(self.by_broker) < _MOST:
            name = ":".join(map(str, place))
            if len(place) == 1:
                name = f"broker {name}, at the address that the cluster gives for it"
            self.by_broker[name] = Attempt(name, error)


_attempts = _Attempts()


def failed_attempts() -> list[Attempt]:
    """Return the connections that failed within `connection_attempts`."""
    return list(_attempts.by_broker.values())


def forget_attempts() -> None:
    """Forget the connections that failed so far, in a program that goes on after a failure."""
    _attempts.by_broker.clear()


@contextmanager
def connection_attempts() -> Iterator[None]:
    """Keep the reasons of failed connections, and keep aiokafka from logging them."""
    logger = logging.getLogger(_CLIENT)
    before = logger.level, logger.propagate
    _attempts.by_broker.clear()
    logger.addHandler(_attempts)
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(_attempts)
        # The next command in this process has connections of its own.
        forget_attempts()
        logger.setLevel(before[0])
        logger.propagate = before[1]
