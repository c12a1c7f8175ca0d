"""The outcome of handling a record, and which of several errors decides it."""

from asyncio import CancelledError
from collections.abc import Callable, Iterator
from typing import Final, Literal

Outcome = Literal["ok", "rejected", "retried", "dead_lettered", "error"]
"""The closed set of outcomes. `rejected` is the business saying no, which is not an error."""

OK: Final = "ok"
REJECTED: Final = "rejected"
ERROR: Final = "error"
RETRIED: Final = "retried"
DEAD_LETTERED: Final = "dead_lettered"


class Rejected(Exception):  # noqa: N818 - a decision, not an error
    """Raised by a handler when the business says no: the card is declined, the stock is gone.

    The record counts as handled: it is committed, its span has the outcome `rejected` and no
    error status.

    Args:
        reason: Why, as a short fixed word or two; it appears on the span. No personal data.
    """

    # Its public place, which `error.type` and the headers of dead letters name.
    __module__ = "tracing"

    reason: str = "rejected"
    """The reason of a subclass that names none."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unprocessable(Exception):  # noqa: N818 - says what the record is
    """Raised by a handler when no attempt can succeed: a poison record, which cannot be decoded.

    It is not retried and goes straight to the dead letters.
    """

    # Its public place, which `error.type` and the headers of dead letters name.
    __module__ = "tracing"


def decisive(
    error: BaseException, *, permanent: Callable[[Exception], bool] | None = None
) -> BaseException:
    """Return the error that a group of errors stands for; any other error is returned itself.

    It never raises: an error that cannot be looked into, because asking for its type raises, is
    replaced by one that says so.

    A `TaskGroup` wraps what its tasks raise in an `ExceptionGroup`, however deep. The worst error
    in it decides, and of several that are equally bad the first: what ends the program
    (`KeyboardInterrupt`), then `Unprocessable`, then what no further attempt can mend, then any
    other failure, then `Rejected`, then a cancellation. So a group counts as rejected only if
    all of its errors do.

    Args:
        error: What a handler raised.
        permanent: Whether no further attempt can mend an error; by default only
            `Unprocessable` says so.
    """
    try:
        return _worst(error, permanent)
    except Exception as fault:
        replaced = RuntimeError(f"a {type(error).__name__} that cannot be looked into")
        replaced.__cause__ = fault
        return replaced


def _worst(error: BaseException, permanent: Callable[[Exception], bool] | None) -> BaseException:
    if not isinstance(error, BaseExceptionGroup):
        return error
    worst: BaseException = error
    rank = -1
    for leaf in leaves(error):
        its_rank = _rank(leaf, permanent)
        if its_rank > rank:
            worst, rank = leaf, its_rank
    return worst


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors in a group, however deep; of any other error, itself."""
    # Without recursion: groups may be nested deeper than the interpreter's stack. Each group once:
    # groups that share others would take time without end.
    waiting = [error]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop()
        if not isinstance(each, BaseExceptionGroup):
            yield each
        elif id(each) not in seen:
            seen.add(id(each))
            waiting.extend(reversed(each.exceptions))


def _rank(error: BaseException, permanent: Callable[[Exception], bool] | None) -> int:
    match error:
        case Rejected():
            return 1
        case Unprocessable():
            return 4
        case Exception():
            return 2 if permanent is None or not permanent(error) else 3
        case CancelledError():
            return 0
    return 5
