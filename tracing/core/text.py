"""Text of arguments, and text from outside made harmless for a line of output."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final
from uuid import UUID

MAX_PRINTABLE: Final = 256
"""Characters of one text in a log line. Names and ids are shorter."""

# Printable to Python, and yet not seen: the default ignorable code points that are letters or
# marks, and the blank of braille. Source: Unicode 15.0, DerivedCoreProperties.txt.
_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
_CUT: Final = "…"
_ERROR_NUMBER: Final = re.compile(r"^\[Error -?[0-9]+\] ")

MAX_NAME: Final = 128
"""Characters of a name, such as that of a pipeline."""


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
    """Return a value as a word for telemetry; an object of an odd type by its type. Never raises.

    A member of an `Enum` is known by its value. The text of any other object may be private.
    """
    if isinstance(value, Enum):
        value = value.value
    try:
        return text_of(value, "")
    except Exception:
        # It has no text of its own, or cannot give it: the type describes it.
        return type(value).__name__


def is_name(value: object) -> bool:
    """Return whether this can be a name, as of a pipeline: 1 to 128 printable characters."""
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable()


def name_in(value: object) -> str | None:
    """Return the name that bytes hold as UTF-8, or that a text is; `None` if it is no name."""
    if isinstance(value, bytes):
        # No character takes more than four bytes.
        if len(value) > 4 * MAX_NAME:
            return None
        try:
            value = value.decode()
        except UnicodeDecodeError:
            return None
    return str(value) if is_name(value) else None


def printable(text: str, limit: int | None = None) -> str:
    r"""Escape invisible characters, and those that move visible ones, as `\x1b` or `\u202e`.

    That is control characters (C0 and C1, with line ends), separators other than a space,
    formatting characters (bidirectional, zero-width), surrogates and unassigned characters. The
    result is one line, and can be encoded as UTF-8.

    Args:
        text: What came from outside.
        limit: Characters of the result; what is longer is cut, with an ellipsis in the last one.
    """
    if limit is not None and len(text) > limit:
        # Escaping makes nothing shorter, so the rest need not be escaped.
        text = text[: limit + 1]
    if not text.isprintable() or (not text.isascii() and _UNSEEN.search(text)):
        text = "".join(map(_escaped, text))
    if limit is not None and len(text) > limit:
        return text[: max(0, limit - 1)] + _CUT
    return text


def counted(number: int, singular: str, plural: str = "") -> str:
    """Return a count with its noun: `1 record`, `1,200 records`.

    Args:
        number: How many there are.
        singular: What one is called.
        plural: What several are called; by default the singular with an `s`.
    """
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def error_text(error: BaseException) -> str:
    """Return an error's type and text, its type once: the errors of aiokafka name it themselves."""
    name, text = type(error).__name__, str(error)
    # Those with a number begin with it: "[Error 29] TopicAuthorizationFailedError: orders".
    own = _ERROR_NUMBER.sub("", text)
    if own.partition(":")[0] == name:
        return own
    return f"{name}: {text}" if text else name


def _hint(value: object) -> str:
    if isinstance(value, Enum):
        return ": give its value"
    if isinstance(value, bytes | bytearray | memoryview):
        return ": decode it"
    return ""


def _escaped(character: str) -> str:
    if character.isprintable() and not _UNSEEN.match(character):
        return character
    return character.encode("unicode_escape").decode()
