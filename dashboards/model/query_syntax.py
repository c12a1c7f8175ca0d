"""Whether Prometheus accepts a query: one that it does not would disable all rules of its file."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from dashboards.model.query_functions import (
    AGGREGATIONS,
    COMPARISONS,
    FUNCTIONS,
    KEEP_LABELS,
    KINDS,
    LEVELS,
    RANGE,
    SCALAR,
    SCALARS,
    SETS,
    TEXT,
    VECTOR,
)

_DURATION: Final = r"(?:\d+(?:ms|[smhdwy]))+"
_NUMBER: Final = r"(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
_SPAN: Final = f"(?:{_DURATION}|{_NUMBER})"
_TOKEN: Final = re.compile(
    rf"""(?P<space>\s+|\#[^\n]*)
    |(?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`[^`]*`)
    |(?P<range>\[[^\]]*\])
    |(?P<number>{_SPAN}(?![\w.]))
    |(?P<name>[A-Za-z_:][\w:]*)
    |(?P<sign>==|!=|=~|!~|>=|<=|[-+*/%^(){{}},=<>@])""",
    re.VERBOSE | re.ASCII,
)
_RANGE: Final = re.compile(rf"\[\s*{_SPAN}\s*(?P<sub>:\s*{_SPAN}?\s*)?\]")
_UNPORTABLE: Final = re.compile(r"\(\?(?:[=!]|<[=!]|P=)|\\[1-9]")
"""Lookarounds and back references, which Prometheus does not have."""
_ONLY_THERE: Final = re.compile(r"\\[pPzQC]|\(\?[A-Za-z-]*U|\[\[:|\\x\{")
"""What regular expressions of Prometheus have and those of Python do not."""


class QueryError(ValueError):
    """What is wrong with a query."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a query returns.

    Attributes:
        kind: The kind of value.
        labels: The labels of its series, if the query names them.
        selects: Whether it is a selector itself, which can have a range.
    """

    kind: str
    labels: frozenset[str] | None = None
    selects: bool = False


def parse_series(query: str) -> Result:
    """Parse a query that returns series.

    Raises:
        QueryError: Prometheus would not accept it, or it returns something else.
    """
    parser = _Parser(_tokens(query))
    result = parser.expression()
    parser.expect_end()
    if result.kind != VECTOR:
        raise QueryError(f"is {KINDS[result.kind]}, and must return series")
    return result


def _tokens(query: str) -> list[tuple[str, str]]:
    tokens, place = [], 0
    while place < len(query):
        token = _TOKEN.match(query, place)
        if token is None:
            raise QueryError(f"cannot be read from {query[place : place + 20]!r} on")
        kind = str(token.lastgroup)
        if kind != "space":
            tokens.append((kind, token[0]))
        place = token.end()
    return tokens


@dataclass(slots=True)
class _Parser:
    tokens: list[tuple[str, str]]
    place: int = field(default=0)

    def expression(self, level: int = 0) -> Result:
        if level == len(LEVELS):
            return self._signed()
        left = self.expression(level + 1)
        while self._next() in LEVELS[level]:
            sign = self._take()
            compares = sign in COMPARISONS and self._skip("bool")
            matches = self._matching(sign)
            right = self.expression(level + 1)
            left = _joined(left, sign, right, matches=matches, as_number=compares)
        return left

    def expect_end(self) -> None:
        if self.place < len(self.tokens):
            raise QueryError(f"has {self._next()!r} where it should end or go on with an operator")

    def _signed(self) -> Result:
        if self._next() in {"+", "-"}:
            self._take()
            return _number_or_series(self._signed())
        base = self._primary()
        if self._skip("^"):
            matches = self._matching("^")
            return _joined(base, "^", self._signed(), matches=matches, as_number=False)
        return base

    def _primary(self) -> Result:
        kind, text = self._kind(), self._next()
        if kind == "number" or text in {"NaN", "Inf", "inf", "nan"}:
            self._take()
            return Result(SCALAR)
        if kind == "text":
            _check_text(self._take())
            return Result(TEXT)
        return self._with_range(self._series(kind, text))

    def _series(self, kind: str, text: str) -> Result:
        if self._skip("("):
            inner = self.expression()
            self._expect(")")
            return Result(inner.kind, inner.labels)
        if text == "{":
            return self._selector(named=False)
        if kind != "name":
            raise QueryError(f"has {text!r} where a value should be" if kind else "ends early")
        self._take()
        if text in AGGREGATIONS and self._next() in {"(", "by", "without"}:
            return self._aggregation(text)
        return self._call(text) if self._next() == "(" else self._selector(named=True)

    def _with_range(self, value: Result) -> Result:
        while self._kind() == "range" or self._next() in {"@", "offset"}:
            if self._kind() != "range":
                self._moved()
                continue
            text = self._take()
            window = _RANGE.fullmatch(text)
            if window is None:
                raise QueryError(f"has {text} where a range such as [5m] should be")
            if value.kind != VECTOR or (not window["sub"] and not value.selects):
                raise QueryError(f"has a range {text} where only [5m:1m] of series could be")
            value = Result(RANGE)
        return value

    def _moved(self) -> None:
        if self._take() == "offset":
            self._skip("-")
        elif self._next() in {"start", "end"}:
            self._take()
            self._expect("(")
            self._expect(")")
            return
        else:
            self._skip("-")
        if self._kind() != "number":
            raise QueryError("has no duration after `offset`, or no time after `@`")
        self._take()

    def _aggregation(self, name: str) -> Result:
        grouping = self._grouping()
        kinds, inputs = self._arguments()
        grouping = grouping or self._grouping()
        if not re.fullmatch(AGGREGATIONS[name], kinds):
            raise QueryError(f"gives {name} the wrong arguments")
        if name in KEEP_LABELS:
            return Result(VECTOR, inputs[-1].labels)
        how, labels = grouping or ("by", frozenset())
        return Result(VECTOR, labels if how == "by" and name != "count_values" else None)

    def _grouping(self) -> tuple[str, frozenset[str]] | None:
        if self._next() not in {"by", "without"}:
            return None
        return self._take(), self._names()

    def _call(self, name: str) -> Result:
        if name not in FUNCTIONS:
            raise QueryError(f"calls {name}, which is no function of Prometheus")
        kinds, _ = self._arguments()
        if not re.fullmatch(FUNCTIONS[name], kinds):
            raise QueryError(f"gives {name} the wrong arguments")
        return Result(SCALAR if name in SCALARS else VECTOR)

    def _arguments(self) -> tuple[str, list[Result]]:
        self._expect("(")
        values: list[Result] = []
        while not self._skip(")"):
            values.append(self.expression())
            if self._next() != ")":
                self._expect(",")
        return "".join(value.kind for value in values), values

    def _selector(self, *, named: bool) -> Result:
        chooses = named
        if self._skip("{"):
            while not self._skip("}"):
                chooses |= self._matcher()
                if self._next() != "}":
                    self._expect(",")
        if not chooses:
            raise QueryError("selects series without a name or a label that is not empty")
        return Result(VECTOR, selects=True)

    def _matcher(self) -> bool:
        """Read a matcher; return whether it leaves out series without the label."""
        kind = self._kind()
        if kind not in {"name", "text"}:
            raise QueryError(f"has {self._next()!r} where a label should be")
        name = self._take()
        if kind == "text" and self._next() in {",", "}"}:
            return bool(_check_text(name))
        sign = self._take()
        if sign not in {"=", "!=", "=~", "!~"} or self._kind() != "text":
            raise QueryError(f'compares the label {name} with nothing: it must be {name}="…"')
        value = _check_text(self._take())
        empty = _matches_nothing(value) if "~" in sign else not value
        return empty == sign.startswith("!")

    def _matching(self, sign: str) -> bool:
        if self._next() not in {"on", "ignoring"}:
            return False
        self._take()
        self._names()
        if self._next() in {"group_left", "group_right"}:
            if sign in SETS:
                raise QueryError(f"has {self._next()} after {sign}, which takes none")
            self._take()
            if self._next() == "(":
                self._names()
        return True

    def _names(self) -> frozenset[str]:
        self._expect("(")
        names = set()
        while not self._skip(")"):
            if self._kind() not in {"name", "text"}:
                raise QueryError(f"has {self._next()!r} where a label should be")
            names.add(self._take().strip("\"'`"))
            if self._next() != ")":
                self._expect(",")
        return frozenset(names)

    def _kind(self) -> str:
        return self.tokens[self.place][0] if self.place < len(self.tokens) else ""

    def _next(self) -> str:
        return self.tokens[self.place][1] if self.place < len(self.tokens) else ""

    def _take(self) -> str:
        text = self._next()
        self.place += 1
        return text

    def _skip(self, text: str) -> bool:
        if self._next() != text:
            return False
        self.place += 1
        return True

    def _expect(self, text: str) -> None:
        if not self._skip(text):
            raise QueryError(f"has {self._next()!r} where {text!r} should be" if self._next()
                             else f"ends where {text!r} should be")  # fmt: skip


def _joined(left: Result, sign: str, right: Result, *, matches: bool, as_number: bool) -> Result:
    kinds = {_number_or_series(left).kind, _number_or_series(right).kind}
    if SCALAR in kinds and (sign in SETS or matches):
        raise QueryError(f"has a number beside {sign}, where series should be")
    if kinds == {SCALAR}:
        if sign in COMPARISONS and not as_number:
            raise QueryError(f"compares two numbers: it needs {sign} bool")
        return Result(SCALAR)
    if SCALAR in kinds:
        return Result(VECTOR, left.labels if left.kind == VECTOR else right.labels)
    return Result(VECTOR, left.labels if left.labels == right.labels else None)


def _number_or_series(value: Result) -> Result:
    if value.kind not in {SCALAR, VECTOR}:
        raise QueryError(f"calculates with {KINDS[value.kind]}")
    return Result(value.kind, value.labels)


def _check_text(quoted: str) -> str:
    if quoted[0] == "`":
        return quoted[1:-1]
    for escape in re.findall(r"\\(.)", quoted):
        if escape not in f"abfnrtvxuU01234567\\{quoted[0]}":
            raise QueryError(f"has \\{escape} in the text {quoted}: write \\\\{escape}")
    return quoted[1:-1].replace("\\\\", "\\")


def _matches_nothing(pattern: str) -> bool:
    """Return whether a regular expression matches the empty text."""
    if _UNPORTABLE.search(pattern):
        raise QueryError(f"has a regular expression that Prometheus does not know: {pattern}")
    if _ONLY_THERE.search(pattern):
        return False
    try:
        return re.fullmatch(pattern, "") is not None
    except re.error as error:
        raise QueryError(f"has an invalid regular expression: {pattern}: {error}") from error
