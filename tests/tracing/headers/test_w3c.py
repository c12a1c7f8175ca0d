"""The W3C codec agrees with the stock propagators on valid headers, and never raises on others."""

from urllib.parse import quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tracing.headers.w3c import (
    MAX_BAGGAGE,
    MAX_BAGGAGE_ENTRIES,
    format_baggage,
    format_traceparent,
    parse_baggage,
    parse_traceparent,
    parse_tracestate,
)

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID = "00f067aa0ba902b7"
VALID = f"00-{TRACE_ID}-{SPAN_ID}-01"


def stock(header: str) -> SpanContext:
    context = TraceContextTextMapPropagator().extract({"traceparent": header}, Context())
    return trace.get_current_span(context).get_span_context()


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 3).map(TraceFlags))
def test_written_context_is_read_back_here_and_by_the_stock_propagator(
    trace_id: int, span_id: int, flags: TraceFlags
) -> None:
    context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)
    written = format_traceparent(context)

    read = parse_traceparent(written)
    assert read is not None
    assert context == read.get_span_context()
    assert bool(flags & 1) == read.sampled
    assert context == stock(written.decode())


@given(st.binary(max_size=80))
@example(b"")
@example(b"\xff" * 55)
def test_any_bytes_are_read_or_absent(written: bytes) -> None:
    read = parse_traceparent(written)
    assert read is None or read.get_span_context().is_valid


@given(st.text(alphabet="0123456789abcdefABCDEF-_+ x", min_size=50, max_size=60))
def test_the_stock_propagator_reads_the_same_context(written: str) -> None:
    read = parse_traceparent(written.encode())
    if read is not None:
        assert stock(written) == read.get_span_context()


@pytest.mark.parametrize(
    "malformed",
    [
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID.upper()}-{SPAN_ID}-01",
        f"00-{TRACE_ID[:-1]}_-{SPAN_ID}-01",
        f"00-+{TRACE_ID[1:]}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-01-more",
        f"00-{TRACE_ID}-{SPAN_ID}",
        f" {VALID}",
        f"{VALID}\n",
        f"01-{TRACE_ID}-{SPAN_ID}-01-{'x' * 1000}",
    ],
)
def test_malformed_context_is_absent(malformed: str) -> None:
    assert parse_traceparent(malformed.encode()) is None


def test_a_later_version_is_read_by_its_known_part() -> None:
    read = parse_traceparent(f"01-{TRACE_ID}-{SPAN_ID}-01-what-comes".encode())

    assert read is not None
    assert read.get_span_context() == stock(VALID)
    assert read.traceparent == VALID.encode()


@given(st.one_of(st.binary(max_size=300), st.none(), st.integers()))
def test_any_tracestate_is_read_or_empty(written: object) -> None:
    parse_tracestate(written)


def test_a_malformed_tracestate_keeps_the_parent() -> None:
    read = parse_traceparent(VALID.encode(), b"\xff")

    assert read is not None
    assert not read.get_span_context().trace_state


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True),
        # The stock propagator strips blanks and skips empty values.
        st.text(max_size=30).map(str.strip).filter(bool),
        max_size=10,
    )
)
def test_written_baggage_is_read_back_here_and_by_the_stock_propagator(
    entries: dict[str, str],
) -> None:
    written, dropped = format_baggage(entries)

    assert dropped == 0
    assert (entries or None) == parse_baggage(written)
    context = W3CBaggagePropagator().extract({"baggage": written.decode()}, Context())
    assert entries == dict(baggage.get_all(context))


@given(st.one_of(st.binary(max_size=500), st.none(), st.text(max_size=5)))
@example(b",".join(b"a%d=1" % number for number in range(1000)))
@example(b"=,;=,%zz=%")
def test_any_baggage_is_read_within_bounds(written: object) -> None:
    entries = parse_baggage(written)
    assert entries is None or len(entries) <= MAX_BAGGAGE_ENTRIES


def test_properties_and_blanks_around_baggage_are_ignored() -> None:
    assert parse_baggage(b" a = 1 ; property , b=2") == {"a": "1", "b": "2"}


def test_baggage_beyond_the_limit_is_not_written() -> None:
    large = {"first": "1", "huge": "x" * MAX_BAGGAGE, "last": "2"}

    assert format_baggage(large) == (b"first=1,last=2", 1)


def test_too_much_baggage_is_not_read() -> None:
    assert parse_baggage(b"a=" + b"x" * 10_000_000) is None


def test_values_are_quoted_as_the_stock_propagator_does() -> None:
    value = 'a "quoted", ümlaut'

    assert format_baggage({"a": value})[0].decode() == f"a={quote_plus(value)}"


@pytest.mark.parametrize("flags", ["00", "01"])
def test_a_span_of_a_record_can_be_shown_as_that_of_the_stock_propagator(flags: str) -> None:
    written = f"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}"
    stock = TraceContextTextMapPropagator().extract({"traceparent": written})

    assert repr(trace.get_current_span(stock)) == repr(parse_traceparent(written.encode()))
