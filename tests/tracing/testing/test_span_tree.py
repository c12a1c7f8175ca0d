"""Finished spans as indented text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace
from opentelemetry.trace import Link, SpanKind, StatusCode

from tracing.testing import Capture, assert_span_tree, span_tree
from tracing.testing.span_trees import elapsed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.trace import Span, Tracer
    from opentelemetry.util.types import AttributeValue


@pytest.fixture
def capture() -> Iterator[Capture]:
    with Capture() as capture:
        yield capture


@pytest.fixture
def tracer(capture: Capture) -> Tracer:
    return capture.tracer_provider.get_tracer("test")


def recorded(
    tracer: Tracer,
    name: str,
    parent: Span | None = None,
    *,
    at: int = 1,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: dict[str, AttributeValue] | None = None,
    links: tuple[Span, ...] = (),
    status: StatusCode = StatusCode.UNSET,
) -> Span:
    """Record a span that begins at `at` and has ended."""
    span = tracer.start_span(
        name,
        trace.set_span_in_context(parent or trace.INVALID_SPAN),
        kind,
        attributes,
        [Link(linked.get_span_context()) for linked in links],
        start_time=at,
    )
    span.set_status(status)
    span.end(at + 1)
    return span


def test_children_are_below_their_parents_and_two_spaces_deeper(
    capture: Capture, tracer: Tracer
) -> None:
    order = recorded(tracer, "POST /orders", kind=SpanKind.SERVER)
    send = recorded(tracer, "send orders", order, at=2, kind=SpanKind.PRODUCER)
    process = recorded(tracer, "process orders", send, at=3, kind=SpanKind.CONSUMER)
    recorded(
        tracer, "send payments", process, at=4, kind=SpanKind.PRODUCER, status=StatusCode.ERROR
    )

    expected = (
        "POST /orders SERVER\n"
        "  send orders PRODUCER\n"
        "    process orders CONSUMER\n"
        "      send payments PRODUCER ERROR"
    )
    assert expected == span_tree(capture.spans())
    assert expected == capture.tree()


def test_roots_and_siblings_are_ordered_by_start_then_name(
    capture: Capture, tracer: Tracer
) -> None:
    recorded(tracer, "late root", at=9)
    root = recorded(tracer, "early root", at=1)
    for name, at in (("c", 4), ("b", 5), ("a", 5)):
        recorded(tracer, name, root, at=at)

    expected = "early root INTERNAL\n  c INTERNAL\n  a INTERNAL\n  b INTERNAL\nlate root INTERNAL"
    assert expected == span_tree(capture.spans())
    assert expected == span_tree(reversed(capture.spans()))


def test_chosen_attributes_are_shown_in_the_given_order(capture: Capture, tracer: Tracer) -> None:
    recorded(tracer, "send", attributes={"b": 2, "a": "one", "secret": "never"})

    assert "send INTERNAL a=one b=2" == span_tree(capture.spans(), attributes=["a", "missing", "b"])


def test_links_name_the_linked_span_or_say_that_it_is_unknown(
    capture: Capture, tracer: Tracer
) -> None:
    with Capture() as other:
        elsewhere = recorded(other.tracer_provider.get_tracer("other"), "elsewhere")
    send = recorded(tracer, "send")
    recorded(tracer, "poll", at=2, links=(send, elsewhere))

    assert "send INTERNAL\npoll INTERNAL ~> send ~> ?" == span_tree(capture.spans(), links=True)
    assert "send INTERNAL\npoll INTERNAL" == span_tree(capture.spans())


def test_a_span_without_its_parent_is_a_marked_root(capture: Capture, tracer: Tracer) -> None:
    with Capture() as other:
        remote = recorded(other.tracer_provider.get_tracer("other"), "remote")
    process = recorded(tracer, "process", remote)
    recorded(tracer, "inner", process, at=2)

    assert "process INTERNAL (parent elsewhere)\n  inner INTERNAL" == span_tree(capture.spans())


def test_ids_never_appear(capture: Capture, tracer: Tracer) -> None:
    root = recorded(tracer, "root")
    recorded(tracer, "child", root, links=(root,))
    context = root.get_span_context()

    drawn = span_tree(capture.spans(), links=True)

    assert f"{context.trace_id:032x}" not in drawn
    assert f"{context.span_id:016x}" not in drawn
    assert not re.search(r"\d", drawn)


def test_no_spans_give_an_empty_tree() -> None:
    assert "" == span_tree(())


def test_a_chain_deeper_than_the_recursion_limit_is_drawn(capture: Capture, tracer: Tracer) -> None:
    span = recorded(tracer, "hop")
    for at in range(2, 1500):
        span = recorded(tracer, "hop", span, at=at)

    assert 1499 == len(span_tree(capture.spans()).splitlines())


def test_an_expectation_may_be_indented_like_the_code_around_it(
    capture: Capture, tracer: Tracer
) -> None:
    root = recorded(tracer, "root", attributes={"n": 1})
    recorded(tracer, "child", root, links=(root,))

    assert_span_tree(
        capture.spans(),
        """
        root INTERNAL n=1
          child INTERNAL ~> root
        """,
        attributes=["n"],
        links=True,
    )


def test_a_difference_is_shown_line_by_line(capture: Capture, tracer: Tracer) -> None:
    root = recorded(tracer, "root")
    recorded(tracer, "child", root)

    with pytest.raises(AssertionError) as caught:
        assert_span_tree(
            capture.spans(),
            """
            root INTERNAL
            child INTERNAL
            """,
        )

    lines = str(caught.value).splitlines()
    assert "-child INTERNAL" in lines
    assert "+  child INTERNAL" in lines
    assert " root INTERNAL" in lines


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0.0 ms"),
        (12_340_000, "12.3 ms"),
        (999_940_000, "999.9 ms"),
        (999_960_000, "1.0 s"),
        (5_473_500_000, "5.5 s"),
        (150 * 10**9, "2.5 m"),
    ],
)
def test_what_something_took_has_the_unit_that_fits(nanoseconds: int, text: str) -> None:
    assert text == elapsed(nanoseconds)
