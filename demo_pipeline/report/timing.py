"""How long orders took, and where the time on their critical path went."""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from demo_pipeline.report.model import Breakdown, Distribution, Role, SpanFacts, Timing, Trace


@dataclass(frozen=True, slots=True)
class Pause:
    """The time from the end of a failed attempt to the start of the next one, in unix ns."""

    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class _Attempts:
    """The pauses between the attempts of each process span, and the waits in them, by its id."""

    pauses: Mapping[int, Sequence[Pause]]
    waits: Mapping[int, Sequence[int]]


def distribution(durations_ns: Iterable[int]) -> Distribution | None:
    """Summarise durations by nearest rank; return `None` without any."""
    ordered = sorted(durations_ns)
    if not ordered:
        return None

    def ranked(percent: int) -> int:
        return ordered[-(-percent * len(ordered) // 100) - 1]

    return Distribution(p50=ranked(50), p95=ranked(95), p99=ranked(99), max=ordered[-1])


def add(breakdowns: Iterable[Breakdown]) -> Breakdown:
    """Add breakdowns up, part by part."""
    columns = zip(*(each.parts() for each in breakdowns), strict=True)
    return _breakdown({_field(part[0][0]): sum(spent for _, spent in part) for part in columns})


def time_trace(trace: Trace) -> Timing | None:
    """Time one trace, from its request to the end of its last processing that is no catch-up.

    Returns:
        The timing; `None` if nothing was processed in the trace.
    """
    handled = [span for span in trace.spans if span.role is Role.PROCESS]
    # A group that reads history does not make an order late.
    last = max(
        [span for span in handled if not span.catch_up] or handled,
        key=lambda span: (span.end_ns, span.start_ns),
        default=None,
    )
    if last is None:
        return None
    requests = [s for s in trace.spans if s.parent_id is None and s.kind == "SERVER"]
    start = min(span.start_ns for span in requests or trace.spans)
    # Clocks that differ between hosts must not give a negative duration.
    start = min(start, last.end_ns)
    path = _path_to(last, trace.spans)
    sagas = frozenset(span.span_id for span in trace.spans if span.role is Role.SAGA)
    attempts = _Attempts(pauses_by_span(trace.spans), waits_by_span(trace.spans))
    return Timing(start, last.end_ns, _break_down(start, path, attempts, sagas))


def time_order(timings: Iterable[Timing | None]) -> Timing | None:
    """Time an order by the timings of its traces; gaps between broken traces count as `other`."""
    of_traces = [timing for timing in timings if timing]
    if not of_traces:
        return None
    start = min(timing.start_ns for timing in of_traces)
    latest = max(of_traces, key=lambda timing: timing.end_ns)
    path = latest.breakdown
    rest = latest.end_ns - start - path.total_ns
    return Timing(start, latest.end_ns, add((path, Breakdown(other_ns=rest))))


def pauses_by_span(spans: Iterable[SpanFacts]) -> Mapping[int, tuple[Pause, ...]]:
    """Return the pauses of each process span by its id, in the order of time.

    The first attempt has no span of its own: it counts as ended when the backoff before the second
    attempt began, which that attempt's span records. Any other attempt ends with its span.
    """
    return {parent: _pauses_between(retries) for parent, retries in _retries(spans).items()}


def waits_by_span(spans: Sequence[SpanFacts]) -> Mapping[int, tuple[int, ...]]:
    """Return how long each attempt of a process span waited for the database, in ns, by its id.

    Only of spans with such a wait.
    """
    retries = _retries(spans)
    waits = {
        span.span_id: (span.connection_ns, *(each.connection_ns for each in retries[span.span_id]))
        for span in spans
        if span.role is Role.PROCESS
    }
    return {
        span_id: tuple(wait_ns or 0 for wait_ns in of_attempts)
        for span_id, of_attempts in waits.items()
        if any(wait_ns is not None for wait_ns in of_attempts)
    }


def _retries(spans: Iterable[SpanFacts]) -> defaultdict[int, list[SpanFacts]]:
    """Return the attempts after the first of each process span, in the order of time."""
    retries: defaultdict[int, list[SpanFacts]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: (span.start_ns, span.end_ns)):
        if span.role is Role.RETRY and span.parent_id is not None:
            retries[span.parent_id].append(span)
    return retries


def _pauses_between(retries: list[SpanFacts]) -> tuple[Pause, ...]:
    first = retries[0]
    ends = [first.start_ns - (first.backoff_ns or 0), *(span.end_ns for span in retries)]
    return tuple(
        Pause(min(end, span.start_ns), span.start_ns)
        for end, span in zip(ends, retries, strict=False)
    )


def _path_to(last: SpanFacts, spans: Sequence[SpanFacts]) -> tuple[SpanFacts, ...]:
    """Return the request, sends and processings that led to a span, in the order of time."""
    by_id = {span.span_id: span for span in spans}
    path: dict[int, SpanFacts] = {}
    span: SpanFacts | None = last
    while span is not None and span.span_id not in path:
        path[span.span_id] = span
        span = None if span.parent_id is None else by_id.get(span.parent_id)
    return tuple(
        span
        for span in reversed(path.values())
        if span.kind == "SERVER" or span.role in {Role.SEND, Role.PROCESS}
    )


def _break_down(
    start_ns: int,
    path: Sequence[SpanFacts],
    attempts: _Attempts,
    sagas: Container[int | None],
) -> Breakdown:
    """Divide the time along a path into its parts, without gaps and overlaps."""
    spent: defaultdict[str, int] = defaultdict(int)
    now = start_ns

    def until(moment_ns: int, part: str, waited_ns: int = 0) -> None:
        nonlocal now
        took_ns = max(0, moment_ns - now)
        # What a handler sends, it sends after the wait.
        waited_ns = min(waited_ns, took_ns)
        spent["database"] += waited_ns
        spent[part] += took_ns - waited_ns
        now = max(now, moment_ns)

    def worked(span: SpanFacts, moment_ns: int) -> None:
        part = "processing" if span.role is Role.PROCESS else "other"
        waits = iter(attempts.waits.get(span.span_id, ()))
        for pause in attempts.pauses.get(span.span_id, ()):
            until(min(pause.start_ns, moment_ns), part, next(waits, 0))
            until(min(pause.end_ns, moment_ns), "retry")
        until(moment_ns, part, next(waits, 0))

    working: SpanFacts | None = None
    sent: SpanFacts | None = None
    for span in path:
        if span.role is Role.SEND:
            if working is not None:
                # An outbox sends after the work has ended; that wait is publishing. A saga's own
                # sends waited for a timer instead.
                worked(working, min(span.start_ns, working.end_ns))
                until(span.start_ns, "other" if span.parent_id in sagas else "publish")
            until(span.start_ns, "other")
            working, sent = None, span
            continue
        if span.wait_ns is not None:
            until(span.start_ns - span.wait_ns, "other" if sent is None else "publish")
            until(span.start_ns, "wait")
        elif sent is not None:
            until(min(sent.end_ns, span.start_ns), "publish")
        until(span.start_ns, "other")
        working, sent = span, None
    if working is not None:
        worked(working, working.end_ns)
    return _breakdown(spent)


def _field(part: str) -> str:
    return part.partition(" ")[0]


def _breakdown(spent: Mapping[str, int]) -> Breakdown:
    return Breakdown(**{f"{part}_ns": duration for part, duration in spent.items()})
