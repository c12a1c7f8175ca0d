"""Where a flow's time goes: by hop, and as layers that add up at one hop."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dashboards.model.labels import ERROR, GROUP, PIPELINE, RESOURCE, TOPIC
from dashboards.model.promql import aggregate
from dashboards.model.series import labels_of
from dashboards.model.signal import Signal
from tracing.metrics.catalog import (
    END_TO_END_DURATION,
    FIRST_ATTEMPT_DURATION,
    PROCESS_DURATION,
    PUBLISH_DURATION,
    RESOURCE_WAIT_DURATION,
    RETRY_DURATION,
    WAIT_DURATION,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from dashboards.model.promql import Scope

_HOP: Final = f"{{{{{GROUP}}}}} ← {{{{{TOPIC}}}}}"
# Pipelines may share a hop.
_OF_PIPELINE: Final = f"{{{{{PIPELINE}}}}}:"
_HOPS: Final = (PIPELINE, GROUP, TOPIC)
_ON_HOP: Final = f"on ({', '.join(_HOPS)})"
_SUCCEEDED: Final = f'{ERROR}=""'
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
    """Return a query for the mean retry time of what has arrived: the lag has no other records."""
    return scope.mean(RETRY_DURATION, _SUCCEEDED, by=_HOPS, over=END_TO_END_DURATION)


def _handling(scope: Scope) -> str:
    """Return a query for the mean over all pipelines of a hop, which handlers do not count by.

    It is that of the first and the last attempt at a record: those between are in the retry time.
    """
    return scope.mean(PROCESS_DURATION, _SUCCEEDED, by=(GROUP, TOPIC), more=FIRST_ATTEMPT_DURATION)


def _resource_wait(scope: Scope, *each: str) -> str:
    """Return a query for the part of the handling that is a wait."""
    return f"{_share(scope, *each)} * on ({GROUP}, {TOPIC}) group_left () ({_handling(scope)})"


def _share(scope: Scope, *each: str) -> str:
    """Return a query for the share of waits in all attempts; of which one they are is not known."""
    among = labels_of(RESOURCE_WAIT_DURATION) & labels_of(PROCESS_DURATION)
    waited, handled = (
        scope.increase(metric, by=by, part="sum", among=among)
        for metric, by in (
            (RESOURCE_WAIT_DURATION, (GROUP, TOPIC, *each)),
            (PROCESS_DURATION, (GROUP, TOPIC)),
        )
    )
    return f"({waited} / on ({GROUP}, {TOPIC}) group_left () ({handled} > 0))"


def _share_at_most(scope: Scope) -> str:
    """Return a query for that share, as long as the handling at most.

    A wait is recorded when it ends, and so before its handling: in a window of long handlers there
    can be more of it.
    """
    return f"clamp_max({_share(scope)}, 1)"


def _waited_within(scope: Scope) -> str:
    return f"({_handling(scope)} * {_share_at_most(scope)})"


def _processing(scope: Scope) -> str:
    """Return a query for the rest of the handling."""
    all_of_it = aggregate("group", (GROUP, TOPIC), scope.select(PROCESS_DURATION, part="count"))
    return f"({_handling(scope)} * (1 - {_share_at_most(scope)} or {all_of_it}))"


def _by_hop(scope: Scope, mean: str, *labels: str) -> str:
    """Return a mean by hop that is known by fewer labels; 0 if there is none, as of retries."""
    hops = aggregate("group", _HOPS, scope.select(END_TO_END_DURATION, part="count"))
    none = f"0 * {hops}"
    if labels == _HOPS:
        return f"({mean} or {none})"
    return f"({none} + on ({', '.join(labels)}) group_left () ({mean}) or {none})"


def layers_of(scope: Scope) -> tuple[str, ...]:
    """Return queries for what each hop adds, in the order of `LAYER_NAMES`."""
    publish, _, retry = _before_handling(scope)
    return (
        publish,
        _wait_within(scope),
        retry,
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


def _wait_within(scope: Scope) -> str:
    """Return a query for the wait, as long at most as what all else leaves of the age of flows.

    Records that wait and then become dead letters have no lag, but their waits are in the mean.
    """
    publish, wait, retry = _before_handling(scope)
    handling = _by_hop(scope, _handling(scope), GROUP, TOPIC)
    left = f"clamp_min({_age(scope)} - {_ON_HOP} ({publish} + {retry} + {handling}), 0)"
    return f"({wait} < {_ON_HOP} {left} or {left})"


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
    _layer("Wait", "Mean time from the record's timestamp to the start of its processing; at most "
           "what all else leaves of the lag, since records that become dead letters wait, too.",
           lambda scope: _arriving(scope, layers_of(scope)[1])),
    _layer("Retry", "Mean time from the end of the first attempt to the start of the last, over "
           "all records that succeeded.",
           lambda scope: _arriving(scope, layers_of(scope)[2])),
    _layer("Resource wait", "Mean time that handlers wait for what they share, such as a database.",
           lambda scope: _arriving(scope, layers_of(scope)[3])),
    _layer("Processing", "Mean processing time of the first attempt at a record and of the one "
           "that succeeded, without waits for resources.",
           lambda scope: _arriving(scope, layers_of(scope)[4])),
)  # fmt: skip
"""They add up to `TOTAL`, at one hop: what hops do in parallel is in no sum."""
TOTAL: Final = Signal(
    title="End-to-end lag there, mean",
    description="The sum of the layers beside it: of records that succeeded.",
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
    description="Mean processing time of the first attempt at a record and of the one that "
    "succeeded, without the waits for resources beside it; attempts between are in the retry time. "
    "Of a hop that several pipelines share it is the mean of all of them.",
    unit="s",
    expr=lambda scope: _of_chosen(scope, _processing(scope)),
    legend=_HOP,
)
RESOURCE_WAIT: Final = Signal(
    title="Resource wait by hop, mean",
    description="Mean time that the handler of a record waits for what it shares with others, such "
    "as a database: the share that waits have in all attempts. If it is high, the handler is not "
    "slow: it is not its turn. Handlers report it with `tracing.waiting_for`, when a wait ends: "
    "while a long handler runs, its waits are here and its processing is not yet.",
    unit="s",
    expr=lambda scope: _of_chosen(scope, _resource_wait(scope, RESOURCE)),
    legend=f"{_HOP}: {{{{{RESOURCE}}}}}",
)
RETRY: Final = Signal(
    title="Retry by hop, mean",
    description="Mean time from the end of the first attempt to the start of the last, over all "
    "records, also those that groups gave up on. Most have only one attempt.",
    unit="s",
    expr=lambda scope: scope.mean(RETRY_DURATION, by=_HOPS, over=WAIT_DURATION),
    legend=f"{_OF_PIPELINE} {_HOP}",
)
