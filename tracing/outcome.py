"""How handling a record ended."""

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

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unprocessable(Exception):  # noqa: N818 - says what the record is
    """Raised by a handler when no attempt can succeed: a poison record, which cannot be decoded.

    It is not retried and goes straight to the dead letters.
    """
