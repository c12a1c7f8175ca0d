"""JSON for an editor: one member or element on each line, and back, without another change.

Only white space between tokens changes. Numbers, escapes, the order of members and repeated
members stay as they are, which they would not in a value that is parsed and written again.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable

# A string without an end goes on to the end of the text: to look for it from each quotation mark in
# it would take time by the square of its length.
_TOKEN: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[{}\[\],:]|[^\s{}\[\],:"]+')
_OPENING: Final = frozenset("{[")
_CLOSING: Final = frozenset("}]")
_INDENT: Final = "  "
# Each level indents every line in it: the text would grow with the square of the depth.
_DEEPEST: Final = 100
_STYLES: Final = ((",", ":"), (", ", ": "))
"""What usual writers put between tokens: the compact form, and the default of Python's `json`."""


def json_problem(text: str) -> str | None:
    """Return why a text is not JSON; `None` if it is. Never raises."""
    try:
        json.loads(text, parse_constant=_not_a_number)
    except json.JSONDecodeError as error:
        return f"line {error.lineno}, column {error.colno}: {error.msg}"
    except RecursionError:
        return "it is nested too deeply"
    except ValueError as error:
        return str(error)
    return None


def spread(text: str) -> tuple[str, tuple[str, str]] | None:
    """Spread JSON that is on one line over several.

    Args:
        text: JSON.

    Returns:
        The text for the editor, and the style that `joined` needs to restore the original; `None`
        if that is not possible to the letter, or if the text is nested too deeply.
    """
    tokens = _TOKEN.findall(text)
    if max(accumulate(map(_deeper, tokens)), default=0) > _DEEPEST:
        return None
    for style in _STYLES:
        if joined(text, style) == text:
            return "".join(_lines(tokens)), style
    return None


def joined(text: str, style: tuple[str, str]) -> str:
    """Put JSON on one line."""
    comma, colon = style
    between = {",": comma, ":": colon}
    return "".join(between.get(token, token) for token in _TOKEN.findall(text))


def _deeper(token: str) -> int:
    return (token in _OPENING) - (token in _CLOSING)


def _lines(tokens: list[str]) -> Iterable[str]:
    depth = 0
    for part, following in zip(tokens, [*tokens[1:], ""], strict=True):
        yield part
        if part == ":":
            yield " "
        elif part in _OPENING and following not in _CLOSING:
            depth += 1
            yield f"\n{_INDENT * depth}"
        elif part == ",":
            yield f"\n{_INDENT * depth}"
        elif part not in _OPENING and following in _CLOSING:
            depth -= 1
            yield f"\n{_INDENT * depth}"


def _not_a_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
