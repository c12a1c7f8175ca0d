"""The stored text of a context: every context round-trips, and any other text is harmless."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracing import SagaContext

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=20,
)
NEAR = st.tuples(
    st.sampled_from([0, 1, 2, True, "1", 1.0]),
    st.text(max_size=3) | st.integers() | st.none(),
    st.integers(-(2**70), 2**70) | st.floats() | st.none(),
    st.lists(st.lists(st.text(max_size=3), max_size=3) | JSON, max_size=4) | JSON,
)


@given(JSON | NEAR)
def test_any_json_parses_to_a_context_that_round_trips_or_to_none(value: object) -> None:
    context = SagaContext.parse(json.dumps(value))

    if context is not None:
        assert isinstance(context.saga_id, str)
        assert 0 <= context.started_ns < 2**63
        assert all(isinstance(part, str) for header in context.headers for part in header)
        assert context == SagaContext.parse(str(context))
        assert context.trace_id is None or 32 == len(context.trace_id)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * 30_000,
        "[1," + "9" * 5000 + "]",
        '[1,"x",NaN,[]]',
        '[1,"x",1e400,[]]',
        '[1,"x",1,[],2]',
        "\0",
        '[1,"x",1,[' + "[]," * 20_000 + "[]]]",
    ],
)
def test_garbage_parses_to_none(text: str) -> None:
    assert None is SagaContext.parse(text)


def test_only_pairs_of_text_are_headers() -> None:
    stored = '[1,"x",5,[["a","b"],["a"],["a",1],"ab",["a","b","c"],null,["traceparent","zz"]]]'

    context = SagaContext.parse(stored)

    assert SagaContext("x", 5, (("a", "b"), ("traceparent", "zz"))) == context
    assert context is not None
    assert None is context.trace_id


@pytest.mark.parametrize(
    ("version", "expected"),
    [("00", "4bf92f3577b34da6a3ce929d0e0e4736"), ("01", "4bf92f3577b34da6a3ce929d0e0e4736"),
     ("ff", None)],
)  # fmt: skip
def test_the_trace_is_read_from_a_traceparent_of_any_version(
    version: str, expected: str | None
) -> None:
    header = f"{version}-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    assert expected == SagaContext("x", 1, (("traceparent", header),)).trace_id


@pytest.mark.parametrize("saga_id", ["x" * 10_000, '"' * 10_000])
def test_a_very_long_id_round_trips(saga_id: str) -> None:
    context = SagaContext(saga_id, 1)

    assert context == SagaContext.parse(str(context))


@pytest.mark.parametrize("saga_id", ["\0" * 10_000, "\u00e9" * 6_000, "x" * 40_000])
def test_a_context_with_a_very_long_text_round_trips(saga_id: str) -> None:
    context = SagaContext(saga_id, 1)

    assert context == SagaContext.parse(str(context))
