"""Whether Prometheus accepts the text of an alert: a bad template would disable all its alerts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

_OF_TEMPLATES: Final = (
    "and call eq ge gt html index js le len lt ne not or print printf println slice urlquery"
)
_OF_PROMETHEUS: Final = (
    "args externalURL first graphLink humanize humanize1024 humanizeDuration humanizePercentage "
    "humanizeTimestamp label match now parseDuration pathPrefix query reReplaceAll safeHtml "
    "sortByLabel stripDomain stripPort strvalue tableLink title tmpl toDuration toLower toTime "
    "toUpper urlQueryEscape value"
)
_FUNCTIONS: Final = frozenset(f"{_OF_TEMPLATES} {_OF_PROMETHEUS}".split())
_VARIABLES: Final = frozenset({"", "externalLabels", "externalURL", "labels", "value"})
_LITERALS: Final = frozenset({"false", "nil", "true"})
_OPEN: Final = frozenset({"block", "define", "if", "range", "with"})
_ACTION: Final = re.compile(
    r"""\{\{(?:/\*.*?\*/\s*-?|(?:"(?:\\.|[^"\\\n])*"|`[^`]*`|[^"`}]|\}(?!\}))*)\}\}""", re.DOTALL
)
_QUOTED: Final = re.compile(r'"(?:\\.|[^"\\\n])*"|`[^`]*`')
_DECLARED: Final = re.compile(r"\$(\w+)(?=\s*(?:,\s*\$\w+\s*)?:=)|(?<=,)\s*\$(\w+)(?=\s*:=)")


class TextError(ValueError):
    """What is wrong with a text."""


def check_text(text: str, labels: Collection[str] | None = None) -> None:
    """Check a template as far as Prometheus does when it loads a rule.

    Args:
        text: The text, with parts such as `{{ $labels.job }}`.
        labels: The labels of the alert, if they are known.

    Raises:
        TextError: Prometheus would not accept it, or it names a label that the alert lacks.
    """
    if "{{" in _ACTION.sub("", text):
        raise TextError("has {{ without }}, or a text without its second quote")
    opened: list[str] = []
    known = {name for pair in _DECLARED.findall(text) for name in pair if name} | _VARIABLES
    for action in _ACTION.findall(text):
        words = action[2:-2].strip().removeprefix("- ").removesuffix(" -").strip()
        if not words.startswith("/*"):
            _check_pipeline(_follow(words, action, opened), action, known)
            _check_labels(words, labels)
    if opened:
        raise TextError(f"has {{{{ {opened[-1]} … }}}} without {{{{ end }}}}")


def _follow(words: str, action: str, opened: list[str]) -> str:
    """Open or close a block; return the value that the action computes, or one in its place."""
    first = words.split(maxsplit=1)[0] if words else ""
    if first in _OPEN:
        opened.append(first)
        return words.removeprefix(first)
    if first not in {"end", "else"}:
        return words
    if not opened:
        raise TextError(f"has {action} without an `if` before it")
    if first == "end":
        opened.pop()
    return re.sub(r"^(?:end|else)(?:\s+(?:if|with)\b)?", "", words) or "."


def _check_labels(words: str, labels: Collection[str] | None) -> None:
    for label in re.findall(r"\$labels\.(\w+)", _QUOTED.sub("", words)):
        if labels is not None and label not in labels:
            has = ", ".join(sorted(labels)) or "none"
            raise TextError(f"names the label {label!r}, but its query keeps {has}")


def _check_pipeline(words: str, action: str, known: Collection[str]) -> None:
    plain = _QUOTED.sub('""', words)
    if plain.count("(") != plain.count(")"):
        raise TextError(f"has a bracket without its other half in {action}")
    value = plain.partition(":=")[2] if ":=" in plain else plain
    if not all(part.strip(" ()") for part in value.split("|")):
        raise TextError(f"has nothing where a value should be in {action}")
    for name in re.findall(r"\$(\w*)", plain):
        if name not in known:
            raise TextError(f"has the variable ${name}, which is not known, in {action}")
    for name in re.findall(r"(?<![\w.$])[A-Za-z_]\w*", plain):
        if name not in _FUNCTIONS | _LITERALS:
            raise TextError(f"calls {name}, which is no function of Prometheus, in {action}")
