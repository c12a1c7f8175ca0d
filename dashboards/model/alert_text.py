"""Whether Prometheus accepts the text of an alert: a bad template would disable all its alerts.

Templates are those of Go's package text/template. There is no parser of them for Python.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

_OF_TEMPLATES: Final = (
    "and call eq ge gt html index js le len lt ne not or print printf println slice urlquery"
)
_OF_PROMETHEUS: Final = (
    "args externalURL first graphLink humanize humanize1024 humanizeDuration humanizePercentage "
    "humanizeTimestamp label match now parseDuration pathPrefix query reReplaceAll safeHtml "
    "sortByLabel stripDomain stripPort strvalue tableLink title toDuration toLower toTime toUpper "
    "urlQueryEscape value"
)
_FUNCTIONS: Final = frozenset(f"{_OF_TEMPLATES} {_OF_PROMETHEUS}".split())
_VARIABLES: Final = ("$", "$externalLabels", "$externalURL", "$labels", "$value")
_LITERALS: Final = frozenset({"false", "nil", "true"})
_KEYWORDS: Final = frozenset(
    {"block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"}
)
_ENDS: Final = frozenset({("sign", "|"), ("sign", ")")})
_STRING: Final = (
    r'"(?:\\(?:[abfnrtv\\"]|[0-7]{3}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})|[^"\\\n])*"'
)
_ACTION: Final = re.compile(
    r"""\{\{(?P<left>-\s)?(?:(?P<comment>/\*(?:(?!\*/).)*\*/)
    |(?P<inside>(?:"(?:\\.|[^"\\\n])*"|`[^`]*`|'(?:\\.|[^'\\\n])+'|[^"`'}]|\}(?!\}))*?))
    (?P<right>\s-)?\}\}""",
    re.DOTALL | re.VERBOSE,
)
_TOKEN: Final = re.compile(
    rf"""(?P<space>\s+)
    |(?P<string>{_STRING}|`[^`]*`|'(?:\\.|[^'\\\n])+')
    |(?P<number>[+-]?(?:0[xX][0-9a-fA-F]+|(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.]))
    |(?P<field>(?:\.\w+)+)
    |(?P<dot>\.)
    |(?P<variable>\$\w*)
    |(?P<word>[^\W\d]\w*)
    |(?P<sign>:=|[=(),|])""",
    re.VERBOSE,
)


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
    template = _Template(labels)
    for action in _ACTION.finditer(text):
        if action["comment"] is None:
            template.take(_Action(action[0], _tokens(action["inside"].strip(), action[0])))
    template.end()


def _tokens(inside: str, action: str) -> list[tuple[str, str]]:
    tokens, place = [], 0
    while place < len(inside):
        token = _TOKEN.match(inside, place)
        if token is None:
            raise TextError(
                f"has {inside[place]!r} in {action}: templates have no operators, only functions; "
                "calculate in the query"
            )
        kind = str(token.lastgroup)
        if kind == "word" and token[0] in _KEYWORDS:
            kind = "keyword"
        tokens.append((kind, token[0]))
        place = token.end()
    return tokens


@dataclass(slots=True)
class _Block:
    """A part that ends with `end`.

    Attributes:
        keyword: How it begins.
        known: How many variables are known outside.
        alone: Whether it has its last `else`.
    """

    keyword: str
    known: int
    alone: bool = False


@dataclass(slots=True)
class _Template:
    labels: Collection[str] | None
    blocks: list[_Block] = field(default_factory=list)
    variables: list[str] = field(default_factory=lambda: list(_VARIABLES))

    def take(self, action: _Action) -> None:
        """Go on with the next action."""
        action.template = self
        kind, word = action.next()
        if kind != "keyword":
            action.pipeline()
        elif word == "end":
            self._close(action)
        elif word == "else":
            self._turn(action)
        elif word in {"break", "continue"}:
            action.skip()
            if all(block.keyword != "range" for block in self.blocks):
                raise TextError(f"has {action.text} without a `range` around it")
        else:
            self._open(action, word)
        action.expect_end()

    def end(self) -> None:
        """Check that every block has ended."""
        if self.blocks:
            raise TextError(f"has {{{{ {self.blocks[-1].keyword} … }}}} without {{{{ end }}}}")

    def _open(self, action: _Action, word: str) -> None:
        action.skip()
        if word in {"block", "define", "template"}:
            if word == "define" and self.blocks:
                raise TextError(f"has {action.text} inside of another part")
            action.name()
        known = len(self.variables)
        if word == "block" or (word == "template" and action.next()[0]):
            action.pipeline()
        elif word in {"if", "range", "with"}:
            action.pipeline(most_declared=2 if word == "range" else 1)
        if word != "template":
            self.blocks.append(_Block(word, known))
        else:
            del self.variables[known:]

    def _turn(self, action: _Action) -> None:
        action.skip()
        block = self.blocks[-1] if self.blocks else _Block("", 0, alone=True)
        if block.alone or block.keyword in {"block", "define"}:
            raise TextError(f"has {action.text} without an `if` before it")
        word = action.next()[1]
        if word in {"if", "with"} and word == block.keyword:
            action.skip()
            action.pipeline(most_declared=1)
        else:
            block.alone = True

    def _close(self, action: _Action) -> None:
        action.skip()
        if not self.blocks:
            raise TextError(f"has {action.text} without an `if` before it")
        del self.variables[self.blocks.pop().known :]


@dataclass(slots=True)
class _Action:
    """What stands between two pairs of braces."""

    text: str
    tokens: list[tuple[str, str]]
    place: int = 0
    template: _Template = field(init=False)

    def next(self) -> tuple[str, str]:
        """Return the next token that is no space, and its kind."""
        while self._is("space"):
            self.place += 1
        return self._at()

    def skip(self) -> None:
        self.place += 1

    def expect_end(self) -> None:
        if self.next()[0]:
            raise self._wrong()

    def name(self) -> None:
        if self.next()[0] != "string":
            raise TextError(f"has no name in quotes in {self.text}")
        self.skip()

    def pipeline(self, *, most_declared: int = 1) -> None:
        """Read commands, each of which gets the result of the one before it."""
        declared = self._declared(most_declared)
        stage = 0
        while True:
            self._command(stage)
            if self.next() != ("sign", "|"):
                break
            self.skip()
            stage += 1
        self.template.variables += declared

    def _declared(self, most: int) -> list[str]:
        begin, names = self.place, []
        while self.next()[0] == "variable":
            names.append(self._at()[1])
            self.skip()
            sign = self.next()[1]
            if sign == "," and len(names) < most:
                self.skip()
                continue
            if sign == ":=":
                self.skip()
                return names
            if sign == "=" and set(names) <= set(self.template.variables):
                self.skip()
                return []
            break
        self.place = begin
        return []

    def _command(self, stage: int) -> None:
        kind = self.next()[0]
        if stage and (kind in {"string", "number", "dot"} or self._at()[1] in _LITERALS):
            raise TextError(f"calls {self._at()[1]}, which is no function, in {self.text}")
        self._operand()
        while self._is("space") and self.next()[0] and self._at() not in _ENDS:
            self._operand()

    def _operand(self) -> None:
        kind, word = self.next()
        if kind == "word" and word not in _FUNCTIONS | _LITERALS:
            raise TextError(f"calls {word}, which is no function of Prometheus, in {self.text}")
        if kind == "variable" and word not in self.template.variables:
            raise TextError(f"has the variable {word}, which is not known, in {self.text}")
        self.skip()
        if (kind, word) == ("sign", "("):
            self.pipeline()
            if self.next() != ("sign", ")"):
                raise TextError(f"has a bracket without its other half in {self.text}")
            self.skip()
        elif kind not in {"dot", "field", "number", "string", "variable", "word"}:
            self.place -= 1
            raise self._wrong()
        if not self._is("field"):
            return
        if kind in {"dot", "number", "string"} or word in _LITERALS:
            raise self._wrong()
        if word == "$labels":
            self._check_label(self._at()[1].split(".")[1])
        self.skip()

    def _check_label(self, label: str) -> None:
        labels = self.template.labels
        if labels is not None and label not in labels:
            has = ", ".join(sorted(labels)) or "none"
            raise TextError(f"names the label {label!r}, but its query keeps {has}")

    def _at(self) -> tuple[str, str]:
        return self.tokens[self.place] if self.place < len(self.tokens) else ("", "")

    def _is(self, kind: str) -> bool:
        return self._at()[0] == kind

    def _wrong(self) -> TextError:
        kind, word = self._at()
        if not kind or word in {"|", ")"}:
            return TextError(f"has nothing where a value should be in {self.text}")
        return TextError(f"has {word!r} in the wrong place in {self.text}")
