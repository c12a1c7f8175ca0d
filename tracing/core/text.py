"""Text from arguments: what has one obvious text form is taken, all else is refused by name."""

from __future__ import annotations

from enum import Enum
from uuid import UUID


def plain_text(value: object, argument: str) -> str:
    """Return a text as an exact `str`; a member of a `StrEnum` becomes its value.

    Args:
        value: What a caller gave.
        argument: The name of the argument.

    Raises:
        TypeError: It is no text.
    """
    if type(value) is str:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    raise TypeError(f"{argument} must be a str, not {type(value).__name__}{_hint(value)}")


def text_of(value: object, argument: str) -> str:
    """Return the text of an id: a `str` as it is, a `UUID` or an `int` as it is usually written.

    Args:
        value: What a caller gave.
        argument: The name of the argument.

    Raises:
        TypeError: It is of another type, which has no one obvious text.
    """
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(int(value))
    if isinstance(value, str):
        return plain_text(value, argument)
    raise TypeError(
        f"{argument} must be a str, a UUID or an int, not {type(value).__name__}{_hint(value)}"
    )


def label_of(value: object) -> str:
    """Return the text of a word that appears in telemetry; of an odd type, its name. Never raises.

    A member of an `Enum` is known by its value. The text of any other object may be private.
    """
    if isinstance(value, Enum):
        value = value.value
    try:
        return text_of(value, "")
    except Exception:
        # It has no text of its own, or fails to give it: its type says what it is.
        return type(value).__name__


def _hint(value: object) -> str:
    if isinstance(value, Enum):
        return ": give its value"
    if isinstance(value, bytes | bytearray | memoryview):
        return ": decode it"
    return ""
