"""Text that came from outside, as one harmless piece of a line: of a log, a terminal, a message."""

from __future__ import annotations

import re
from typing import Final

MAX_PRINTABLE: Final = 256
"""Characters of one such piece in a log line. Names and ids are shorter."""

# Printable to Python, and yet not seen: the default ignorable code points that are letters or
# marks, and the blank of braille. Source: Unicode 15.0, DerivedCoreProperties.txt.
_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
_CUT: Final = "…"


def printable(text: str, limit: int | None = None) -> str:
    r"""Escape all that a reader does not see or that moves what is seen, as `\x1b` or `\u202e`.

    That is control characters (C0 and C1, with line ends), separators other than a space,
    formatting characters (bidirectional, zero-width), surrogates and unassigned characters. The
    result is one line, and can be encoded as UTF-8.

    Args:
        text: What came from outside.
        limit: Characters of the result; what is longer is cut, with an ellipsis in the last one.
    """
    if limit is not None and len(text) > limit:
        # Escaping makes nothing shorter, so what lies behind needs no look.
        text = text[: limit + 1]
    if not text.isprintable() or (not text.isascii() and _UNSEEN.search(text)):
        text = "".join(map(_escaped, text))
    if limit is not None and len(text) > limit:
        return text[: max(0, limit - 1)] + _CUT
    return text


def _escaped(character: str) -> str:
    if character.isprintable() and not _UNSEEN.match(character):
        return character
    return character.encode("unicode_escape").decode()
