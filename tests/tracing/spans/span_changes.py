"""What can be done to a span, as hypothesis strategies: ordinary changes and wrong ones."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from hypothesis import strategies as st
from opentelemetry.sdk import trace as sdk
from opentelemetry.trace import Link, Span, SpanContext, Status, StatusCode, TraceFlags

from tracing.spans.starter import SpanStarter

LINK = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1))

Change = Callable[[Span, SpanStarter | None], object]
"""A change of a span; the library's own ones use the starter, where there is one."""


class Unprintable:
    """An object that the SDK has to describe."""

    def __str__(self) -> str:
        return "described"


class Text(str):
    __slots__ = ()


class Number(int):
    pass


# Names that are new, shared, or the message's own; and wrong ones.
keys: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(["a", "b", "c", "messaging.system", "port", "id", "offset"]),
    st.text(max_size=4),
    st.sampled_from([Text("a"), "", "\ud800", 5, None, b"a"]),
)
plain = st.one_of(
    st.text(max_size=150),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.floats(),
)
unusual = st.one_of(
    st.sampled_from(["\ud800", b"bytes", None, Unprintable(), object, Text("text"), Number(3)]),
    st.integers(2**63, 2**70),
    st.lists(plain, max_size=3),
    st.lists(plain, max_size=3).map(tuple),
    st.lists(st.one_of(plain, st.none(), st.lists(plain, max_size=2)), max_size=3),
    st.dictionaries(st.text(max_size=2), plain, max_size=2),
)
values: st.SearchStrategy[Any] = st.one_of(plain, plain, unusual)
mappings: st.SearchStrategy[Any] = st.one_of(
    st.dictionaries(keys, plain, max_size=4),
    st.dictionaries(keys, values, max_size=4),
    st.integers(60, 70).map(lambda number: {f"k{each}": each for each in range(number)}),
    st.dictionaries(keys, plain, max_size=2).map(MappingProxyType),
    st.dictionaries(keys, plain, max_size=2).map(UserDict),
)
no_mapping: st.SearchStrategy[Any] = st.sampled_from([None, [], {}])
texts: st.SearchStrategy[Any] = st.one_of(
    st.text(max_size=5), st.sampled_from(["\ud800", Text("t"), "", "name"])
)
times: st.SearchStrategy[Any] = st.one_of(st.none(), st.integers(0, 2**63))
statuses: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(StatusCode),
    st.builds(Status, st.sampled_from(StatusCode), st.one_of(st.none(), st.text(max_size=5))),
    st.just("no status"),
)


def failed(text: str) -> Exception:
    try:
        int(f"no {text}")
    except ValueError as error:
        return error
    raise AssertionError


def _plainly(attributes: dict[str, Any]) -> Change:
    """What the library itself sets, as the SDK would set it."""

    def change(span: Span, spans: SpanStarter | None) -> None:
        if not span.is_recording():
            return
        if spans is None:
            span.set_attributes(attributes)
        else:
            spans.enrich(span, dict(attributes))

    return change


def _linked(number: int) -> Change:
    def change(span: Span, spans: SpanStarter | None) -> None:
        if not span.is_recording():
            return
        # The SDK cuts the attributes of the very links that it gets.
        links = [Link(LINK, {"n": 1}) for _ in range(number)]
        if spans is not None:
            spans.link(span, links)
            return
        for link in links:
            span.add_link(link.context, link.attributes)

    return change


def _read(span: Span, _: SpanStarter | None) -> object:
    assert isinstance(span, sdk.ReadableSpan)
    return span.is_recording(), span.name, list((span.attributes or {}).items())


changes: st.SearchStrategy[Change] = st.one_of(
    st.builds(lambda k, v: lambda span, _: span.set_attribute(k, v), keys, values),
    st.builds(lambda k, v: lambda span, _: span.set_attribute(k, v), keys, plain),
    st.builds(lambda m: lambda span, _: span.set_attributes(m), st.one_of(mappings, no_mapping)),
    st.builds(
        lambda n, m, t: lambda span, _: span.add_event(n, m, t),
        texts,
        st.one_of(no_mapping, mappings),
        times,
    ),
    st.builds(
        lambda s, d: lambda span, _: span.set_status(s, d),
        statuses,
        st.one_of(st.none(), st.none(), st.text(max_size=3)),
    ),
    st.builds(lambda n: lambda span, _: span.update_name(n), texts),
    st.builds(
        lambda e, m, t: lambda span, _: span.record_exception(e, m, t),
        st.text(max_size=3).map(failed),
        st.one_of(no_mapping, mappings),
        times,
    ),
    st.builds(lambda m: lambda span, _: span.add_link(LINK, m), st.one_of(no_mapping, mappings)),
    st.builds(_plainly, st.dictionaries(st.text(min_size=1, max_size=2), plain, max_size=3)),
    st.builds(_linked, st.integers(0, 2)),
    st.just(_read),
)
ends: st.SearchStrategy[Change] = st.builds(
    lambda t: lambda span, _: span.end(t), st.integers(0, 2**62)
)
