"""When and how often a failed record is tried again."""

from __future__ import annotations

import json
import math
import random
from dataclasses import dataclass
from inspect import isawaitable
from typing import TYPE_CHECKING

from tracing.core.callables import discard, require_sync
from tracing.core.log import warn_once
from tracing.messaging.outcome import Unprocessable

if TYPE_CHECKING:
    from collections.abc import Callable


def full_jitter(longest_s: float) -> float:
    """Choose any delay up to the longest, so that those who failed together do not return together.

    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
    """
    return random.uniform(0, longest_s)  # noqa: S311 - a guessed delay harms no one


def retryable(error: Exception) -> bool:
    """Whether another attempt may succeed: not where the record itself cannot be read."""
    return not isinstance(error, Unprocessable | UnicodeDecodeError | json.JSONDecodeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How `consume` retries: exponential backoff with full jitter, in the partition's order.

    Attempts are counted per delivery: a record that comes back after a crash starts anew.

    Attributes:
        attempts: How often a record is tried at most, the first time included.
        delay_s: The longest delay before the second attempt, in seconds.
        factor: By how much the longest delay grows from attempt to attempt.
        max_delay_s: What it does not grow beyond, in seconds.
        retryable: A plain function that returns whether another attempt may succeed after an
            error; of an `ExceptionGroup` it gets each error inside. By default everything may,
            but for bytes that are not UTF-8 or JSON. `tracing.Unprocessable` is never tried
            again.
        jitter: A plain function that makes the delay from the longest delay, in seconds; by
            default anything up to it.

    Raises:
        TypeError: `retryable` or `jitter` is no plain function of one argument, or a number is
            none.
        ValueError: A number is out of its range.
    """

    attempts: int = 3
    delay_s: float = 0.5
    factor: float = 2.0
    max_delay_s: float = 30.0
    retryable: Callable[[Exception], bool] = retryable
    jitter: Callable[[float], float] = full_jitter

    def __post_init__(self) -> None:
        if not isinstance(self.attempts, int):
            raise TypeError(f"attempts must be an int, not {type(self.attempts).__name__}")
        for name in ("delay_s", "factor", "max_delay_s"):
            value: object = getattr(self, name)
            if not isinstance(value, int | float):
                raise TypeError(f"{name} must be a number, not {type(value).__name__}")
            if not math.isfinite(value):
                raise ValueError(f"{name} must be finite, not {value!r}")
        if self.attempts < 1:
            raise ValueError(f"attempts must be at least 1, not {self.attempts!r}")
        if self.delay_s < 0 or self.max_delay_s < 0:
            raise ValueError("delay_s and max_delay_s must not be negative")
        if self.factor < 1:
            raise ValueError(f"factor must be at least 1, not {self.factor!r}")
        require_sync(self.jitter, "Retry.jitter", arguments=1)
        require_sync(self.retryable, "Retry.retryable", arguments=1)
        if isinstance(self.retryable, type) and issubclass(self.retryable, BaseException):
            name = self.retryable.__name__
            raise TypeError(
                f"Retry.retryable must be a function of the error, not the class {name}: write "
                f"`lambda error: isinstance(error, {name})`"
            )

    def may_succeed_after(self, error: Exception) -> bool:
        """Whether another attempt may succeed, as `retryable` says; not where it fails to say."""
        try:
            answer: object = self.retryable(error)
            if isawaitable(answer):
                discard(answer)
                raise TypeError("Retry.retryable gave something to await")  # noqa: TRY301 - as any fault of it
        except Exception as fault:
            warn_once("Retry.retryable raised; the error counts as permanent", error=fault)
            return False
        return bool(answer)

    def delay_after(self, attempt: int) -> float:
        """How long to wait after a failed attempt, in seconds; the first attempt is 1."""
        # A float's power overflows long after the longest delay is reached.
        growth = self.factor ** min(attempt - 1, 64)
        longest_s = min(self.delay_s * growth, self.max_delay_s)
        try:
            delay_s: object = self.jitter(longest_s)
            if isinstance(delay_s, int | float) and 0 <= delay_s < math.inf:
                return delay_s
            discard(delay_s)
            raise TypeError("Retry.jitter gave no number of seconds")  # noqa: TRY301 - as any fault of it
        except Exception as fault:
            warn_once("Retry.jitter raised; the longest delay is taken", error=fault)
            return longest_s
