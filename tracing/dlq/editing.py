"""The value of a dead letter as a text to edit, and back."""

from __future__ import annotations

from difflib import unified_diff
from typing import TYPE_CHECKING, Final

from tracing.dlq.json_text import joined, json_problem, spread
from tracing.headers.codec import latest, text

if TYPE_CHECKING:
    from tracing.dlq.reading import Letter

_CONTENT_TYPE: Final = "content-type"
_LONGEST: Final = 256
_HEX_WIDTH: Final = 16
_BLANKS: Final = frozenset("\t\n\r")


class Draft:
    """The text of a value, and what an edited text stands for.

    JSON on one line is spread over several, and put on one line again; what is not edited stays as
    it is, to the letter. All other text is edited as it is.

    Args:
        dead_letter: The dead letter.
        as_hex: Whether to edit bytes as hexadecimal digits.

    Attributes:
        content: The text for the editor, as UTF-8.
        suffix: The suffix of a file with this text, by which editors choose their mode.

    Raises:
        ValueError: The dead letter has no value, cannot be read, or is no text. The message says
            what to do.
    """

    def __init__(self, dead_letter: Letter, *, as_hex: bool = False) -> None:
        value = dead_letter.record.value
        if dead_letter.problem is not None:
            raise ValueError(f"clients cannot read {dead_letter.id}: {dead_letter.problem}")
        if value is None:
            raise ValueError(f"{dead_letter.id} has no value, so there is nothing to edit")
        self._value: bytes = value
        self._style: tuple[str, str] | None = None
        self._json = False
        self._hex = as_hex
        self.suffix = ".hex"
        shown = _hex_lines(value)
        if not as_hex:
            shown = _text_of(value, dead_letter)
            self._json = _is_json(shown, dead_letter)
            self.suffix = ".json" if self._json else ".txt"
            if self._json and (several := spread(shown)) is not None:
                shown, self._style = several
        # Editors end the last line, so the file has it ended, too.
        self._ended = shown.endswith("\n")
        self.content = (shown if self._ended else f"{shown}\n").encode()

    def value(self, content: bytes) -> bytes:
        """Return the value that an edited text stands for.

        Raises:
            ValueError: It is none: not UTF-8, empty, or not JSON where the value has to be.
        """
        if content == self.content:
            return self._value
        edited = _decoded(content)
        if not edited.strip():
            raise ValueError("the text is empty")
        if self._hex:
            try:
                return bytes.fromhex(edited)
            except ValueError as error:
                raise ValueError(f"the text is not hexadecimal: {error}") from None
        if not self._ended:
            edited = edited.removesuffix("\n")
        if self._json and (problem := json_problem(edited)) is not None:
            raise ValueError(f"the text is not JSON: {problem}")
        return (edited if self._style is None else joined(edited, self._style)).encode()

    def diff(self, content: bytes) -> list[str]:
        """Return how an edited text differs, as lines of a unified diff."""
        before, after = (self._lines(text) for text in (self.content, content))
        return list(unified_diff(before, after, "dead letter", "edited", lineterm=""))

    def _lines(self, content: bytes) -> list[str]:
        """Return the lines of a text, each with what else ends it: that is sent, too."""
        shown = _decoded(content)
        return (shown if self._ended else shown.removesuffix("\n")).split("\n")


def _decoded(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"the text is not UTF-8: {error.reason}") from None


def _text_of(value: bytes, dead_letter: Letter) -> str:
    """Return a value as text.

    Raises:
        ValueError: It is none. Control characters are valid UTF-8, and a sign of a binary format.
    """
    try:
        shown = value.decode()
    except UnicodeDecodeError:
        shown = "\0"
    if any(ord(each) < ord(" ") and each not in _BLANKS for each in shown):
        raise ValueError(f"the value of {dead_letter.id} is not text: --hex edits its bytes")
    return shown


def _is_json(shown: str, dead_letter: Letter) -> bool:
    """Return whether the edited value has to be JSON: by its content type, or as it is now."""
    declared = text(latest(dead_letter.record.headers).get(_CONTENT_TYPE), _LONGEST) or ""
    kind = declared.partition(";")[0].strip().lower()
    if kind:
        return kind.endswith(("/json", "+json"))
    return shown.lstrip()[:1] in {"{", "["} and json_problem(shown) is None


def _hex_lines(value: bytes) -> str:
    lines = (value[at : at + _HEX_WIDTH] for at in range(0, len(value), _HEX_WIDTH))
    return "\n".join(line.hex(" ") for line in lines)
