"""Whether Prometheus accepts a query: one that it does not would disable all rules of its file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from promql_parser import (
    AggModifierType,
    AggregateExpr,
    BinaryExpr,
    Call,
    LabelModifierType,
    MatchOp,
    ParenExpr,
    UnaryExpr,
    ValueType,
    VectorMatchCardinality,
    VectorSelector,
    parse,
    walk,
)

from dashboards.patterns import PatternError, check_pattern

if TYPE_CHECKING:
    from promql_parser import BinModifier, Expr

_QUOTED: Final = re.compile(
    r"""(?P<other>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\#[^\n]*)|`(?P<raw>[^`]*)`""", re.DOTALL
)
_KEEP_LABELS: Final = frozenset({"bottomk", "limit_ratio", "limitk", "topk"})
_EXPERIMENTAL: Final = frozenset({"limit_ratio", "limitk"})


class QueryError(ValueError):
    """What is wrong with a query."""


def kept_labels(query: str) -> frozenset[str] | None:
    """Return the labels that the series of a query have, or `None` if they are unknown.

    Raises:
        QueryError: Prometheus would not accept it, or it returns something else than series.
    """
    try:
        parsed = parse(_QUOTED.sub(_without_raw_text, query))
    except ValueError as error:
        raise QueryError(f"is no query that Prometheus accepts: {error}") from error
    walk(parsed, _check)
    if not _returns_series(parsed):
        raise QueryError("must return series, not a range of them, one number or a text")
    return _labels(parsed)


def _without_raw_text(quoted: re.Match[str]) -> str:
    """Return a text as one with escapes, as the parser reads escapes in raw ones, too."""
    if quoted["raw"] is None:
        return quoted[0]
    escaped = quoted["raw"].replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _check(part: Expr) -> bool:
    if isinstance(part, Call) and part.func.experimental:
        raise QueryError(_experimental(part.func.name))
    if isinstance(part, AggregateExpr) and str(part.op) in _EXPERIMENTAL:
        raise QueryError(_experimental(str(part.op)))
    if isinstance(part, BinaryExpr) and part.modifier:
        filled = part.modifier.fill_values
        if filled.lhs is not None or filled.rhs is not None:
            raise QueryError(_experimental("fill"))
    if isinstance(part, VectorSelector):
        if part.matchers.or_matchers:
            raise QueryError("has `or` between matchers, which Prometheus does not know")
        for matcher in part.matchers.matchers:
            if matcher.op in (MatchOp.Re, MatchOp.NotRe):
                _check_matched(matcher.value)
    return True


def _check_matched(pattern: str) -> None:
    try:
        check_pattern(pattern)
    except PatternError as error:
        raise QueryError(f"has a wrong matcher: {error}") from error


def _experimental(name: str) -> str:
    return f"has {name}, which Prometheus refuses unless its experimental functions are enabled"


def _returns_series(part: Expr) -> bool:
    if isinstance(part, ParenExpr | UnaryExpr):
        return _returns_series(part.expr)
    if isinstance(part, BinaryExpr):
        return _returns_series(part.lhs) or _returns_series(part.rhs)
    if isinstance(part, Call):
        return bool(part.func.return_type == ValueType.Vector)
    return isinstance(part, AggregateExpr | VectorSelector)


def _labels(part: Expr) -> frozenset[str] | None:
    if isinstance(part, ParenExpr | UnaryExpr):
        return _labels(part.expr)
    if isinstance(part, AggregateExpr):
        return _labels_of_aggregate(part)
    return _labels_of_two(part) if isinstance(part, BinaryExpr) else None


def _labels_of_aggregate(part: AggregateExpr) -> frozenset[str] | None:
    name = str(part.op)
    if name in _KEEP_LABELS:
        return _labels(part.expr)
    if name == "count_values":
        return None
    if part.modifier is None:
        return frozenset()
    by = part.modifier.type == AggModifierType.By
    return frozenset(part.modifier.labels) if by else None


def _labels_of_two(part: BinaryExpr) -> frozenset[str] | None:
    if not _returns_series(part.rhs):
        return _labels(part.lhs)
    if not _returns_series(part.lhs):
        return _labels(part.rhs)
    left, right = _labels(part.lhs), _labels(part.rhs)
    if str(part.op) == "or":
        return left if left == right else None
    if str(part.op) in {"and", "unless"} or part.modifier is None:
        return left
    return _labels_matched(left, right, part.modifier)


def _labels_matched(
    left: frozenset[str] | None, right: frozenset[str] | None, modifier: BinModifier
) -> frozenset[str] | None:
    if modifier.card in (VectorMatchCardinality.ManyToOne, VectorMatchCardinality.OneToMany):
        many = left if modifier.card == VectorMatchCardinality.ManyToOne else right
        return None if many is None else many.union(modifier.group_labels or ())
    if modifier.matching is None:
        return left
    if modifier.matching.type == LabelModifierType.Include:
        return frozenset(modifier.matching.labels)
    return None if left is None else left.difference(modifier.matching.labels)
