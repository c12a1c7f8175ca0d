"""Where a flow's time goes: by hop, and as layers that add up at one hop."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dashboards.model.labels import GROUP, PIPELINE, RESOURCE, TOPIC
from dashboards.model.promql import aggregate
from dashboards.model.signal import Signal
from tracing.metrics.catalog import (
    END_TO_END_DURATION,
    PROCESS_DURATION,
    PUBLISH_DURATION,
    RESOURCE_WAIT_DURATION,
    RETRIES,
    RETRY_DURATION,
    WAIT_DURATION,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from dashboards.model.promql import Scope
    from tracing.metrics.metric import Metric

_HOP: Final = f"{{{{{GROUP}}}}} ← {{{{{TOPIC}}}}}"
# Pipelines may share a hop.
_OF_PIPELINE: Final = f"{{{{{PIPELINE}}}}}:"
_HOPS: Final = (PIPELINE, GROUP, TOPIC)
_ON_HOP: Final = f"on ({', '.join(_HOPS)})"
_SHOWN: Final = "$__range"
"""All of the time that the dashboard shows."""
LAYER_NAMES: Final = ("Publish", "Wait", "Retry", "Resource wait", "Processing")
"""What a hop adds to the age of a flow."""


def _age(scope: Scope) -> str:
    return scope.mean(END_TO_END_DURATION, by=_HOPS)


def _publish(scope: Scope) -> str:
    return scope.mean(PUBLISH_DURATION, by=(PIPELINE, TOPIC))


def _wait(scope: Scope) -> str:
    return scope.mean(WAIT_DURATION, by=_HOPS)


def _retry(scope: Scope) -> str:
    return scope.mean(RETRY_DURATION, by=_HOPS, over=WAIT_DURATION)


def _handling(scope: Scope, less: Metric | None = None) -> str:
    """Return a query for the mean over all pipelines of a hop, which handlers do not count by.

    Records are attempts that follow no other. Not all of them wait: replays and history have no
    wait that counts.
    """
    return scope.mean(PROCESS_DURATION, by=(GROUP, TOPIC), repeats=RETRIES, less=less)


def _resource_wait(scope: Scope, *each: str) -> str:
    """Return a query for the part of the handling that is a wait, of the same records."""
    return scope.mean(
        RESOURCE_WAIT_DURATION,
        by=(GROUP, TOPIC),
        of_each=each,
        over=PROCESS_DURATION,
        repeats=RETRIES,
    )


def _processing(scope: Scope) -> str:
    """Return a query for the rest of the handling."""
    return _handling(scope, less=RESOURCE_WAIT_DURATION)


def _waited_within(scope: Scope) -> str:
    """Return a query for all waits, as long as the handling at most.

    A wait is recorded when it ends, and so before its handling: in a window of long handlers there
    can be more of it.
    """
    return f"({_handling(scope)} - {_processing(scope)})"


def _by_hop(scope: Scope, mean: str, *labels: str) -> str:
    """Return a mean by hop that is known by fewer labels; 0 if there is none, as of retries."""
    hops = aggregate("group", _HOPS, scope.select(END_TO_END_DURATION, part="count"))
    none = f"0 * {hops}"
    if labels == _HOPS:
        return f"({mean} or {none})"
    return f"({none} + on ({', '.join(labels)}) group_left () ({mean}) or {none})"


def layers_of(scope: Scope) -> tuple[str, ...]:
    """Return queries for what each hop adds, in the order of `LAYER_NAMES`."""
    return (
        *_before_handling(scope),
        _by_hop(scope, _waited_within(scope), GROUP, TOPIC),
        _by_hop(scope, _processing(scope), GROUP, TOPIC),
    )


def own_time(scope: Scope) -> str:
    """Return a query for the mean time that a record takes at each hop, 0 where none passes."""
    handling = _by_hop(scope, _handling(scope), GROUP, TOPIC)
    return f"({' + '.join((*_before_handling(scope), handling))})"


def _before_handling(scope: Scope) -> tuple[str, ...]:
    return (
        _by_hop(scope, _publish(scope), PIPELINE, TOPIC),
        _by_hop(scope, _wait(scope), *_HOPS),
        _by_hop(scope, _retry(scope), *_HOPS),
    )


def _of_chosen(scope: Scope, mean: str) -> str:
    chosen = scope.select(WAIT_DURATION, part="count")
    return f"{mean} and on ({GROUP}, {TOPIC}) {chosen}"


def _arriving(scope: Scope, expr: str) -> str:
    """Return values of one hop: that with the oldest flows, over all of the time shown."""
    hop = f"topk(1, {_age(replace(scope, window=_SHOWN))})"
    return f"{expr} and {_ON_HOP} {hop}"


def _before(scope: Scope) -> str:
    return _arriving(scope, f"clamp_min({_age(scope)} - {_ON_HOP} {own_time(scope)}, 0)")


def _layer(name: str, description: str, expr: Callable[[Scope], str]) -> Signal:
    return Signal(
        title=name, description=description, unit="s", expr=expr, legend=f"{name}: {_HOP}"
    )


LAYERS: Final = (
    _layer("Before this hop", "Mean age of flows when their record here is created.", _before),
    _layer("Publish", "Mean time from the event's creation to its record.",
           lambda scope: _arriving(scope, layers_of(scope)[0])),
    _layer("Wait", "Mean time from the record's timestamp to the start of its processing.",
           lambda scope: _arriving(scope, layers_of(scope)[1])),
    _layer("Retry", "Mean time from the first to the last attempt, over all records.",
           lambda scope: _arriving(scope, layers_of(scope)[2])),
    _layer("Resource wait", "Mean time that handlers wait for what they share, such as a database.",
           lambda scope: _arriving(scope, layers_of(scope)[3])),
    _layer("Processing", "Mean processing time of a record, over all its attempts, without waits "
           "for resources.",
           lambda scope: _arriving(scope, layers_of(scope)[4])),
)  # fmt: skip
"""They add up to `TOTAL`, at one hop: what hops do in parallel is in no sum."""
TOTAL: Final = Signal(
    title="End-to-end lag there, mean",
    description="The sum of the layers beside it.",
    unit="s",
    expr=lambda scope: _arriving(scope, _age(scope)),
    legend=_HOP,
)
PUBLISH: Final = Signal(
    title="Publish by topic, mean",
    description="Mean time from an event's creation to its record: outbox, batching and sending.",
    unit="s",
    expr=_publish,
    legend=f"{_OF_PIPELINE} {{{{{TOPIC}}}}}",
)
WAIT: Final = Signal(
    title="Wait by hop, mean",
    description="Mean time from a record's timestamp to the start of its processing. If it is "
    "high, the group is behind.",
    unit="s",
    expr=_wait,
    legend=f"{_OF_PIPELINE} {_HOP}",
)
PROCESSING: Final = Signal(
    title="Processing by hop, mean",
    description="Mean processing time of a record, over all its attempts, without the waits for "
    "resources beside it. Of a hop that several pipelines share it is the mean of all of them.",
    unit="s",
    expr=lambda scope: _of_chosen(scope, _processing(scope)),
    legend=_HOP,
)
RESOURCE_WAIT: Final = Signal(
    title="Resource wait by hop, mean",
    description="Mean time that the handler of a record waits for what it shares with others, such "
    "as a database. If it is high, the handler is not slow: it is not its turn. Handlers report it "
    "with `tracing.waiting_for`, when a wait ends: while a long handler runs, its waits are here "
    "and its processing is not yet.",
    unit="s",
    expr=lambda scope: _of_chosen(scope, _resource_wait(scope, RESOURCE)),
    legend=f"{_HOP}: {{{{{RESOURCE}}}}}",
)
RETRY: Final = Signal(
    title="Retry by hop, mean",
    description="Mean time from the first to the last attempt, over all records. Most have only "
    "one.",
    unit="s",
    expr=_retry,
    legend=f"{_OF_PIPELINE} {_HOP}",
)
