"""Alerts on consumer groups: lag, lost records, order, second readers and dead letters."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dashboards.durations import seconds_of
from dashboards.model.labels import (
    CAUSE,
    COUNTED,
    ERROR,
    GROUP,
    INSTANCE,
    PIPELINE,
    SERVICE,
    STATUS,
    TOPIC,
    UNKNOWN,
)
from dashboards.model.promql import aggregate
from dashboards.model.rule import IN_PIPELINE, Alert
from dashboards.signals import dead_letters, lag, order
from dashboards.signals.chosen_pipeline import of_chosen_pipeline
from dashboards.signals.known_hops import known_hops
from tracing.metrics.catalog import CONSUMER_CAUSE, CONSUMER_STATUS, DEAD_LETTERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dashboards.model.promql import Scope

_GROUP: Final = f"Group {{{{ $labels.{GROUP} }}}}"
_TOPIC: Final = f"{{{{ $labels.{TOPIC} }}}}"
_COUNT: Final = '{{ $value | printf "%.0f" }}'
# A day, and an hour in which DeadLetterAgeHigh takes over.
_DEAD_LETTERS_FOR: Final = "25h"
_STEP: Final = "5m"
_ANY_CAUSE: Final = "no_members"
# For minutes, what waited arrives late, and for five more it counts.
_UNTIL_FLOWS_ARE_IN_TIME: Final = "10m"
_DURATION: Final = "{{ $value | humanizeDuration }}"


def consumer_alerts(scope: Scope) -> tuple[Alert, ...]:
    """Make the alerts on lag, on what it leads to, and on the monitor that measures it."""
    seconds = lag.SECONDS.expr(scope)
    used = lag.RETENTION_USED
    return (
        Alert(
            name="ConsumerStalled",
            expr=_stalled(replace(scope, fresh=True)),
            wait=scope.wait,
            severity="critical",
            summary=f"{_GROUP} processes nothing: it is stalled or has no members{IN_PIPELINE}",
            description="Its records wait{{ if gt $value 1.0 }}, the oldest for "
            f"{_DURATION}{{{{ end }}}}. Either its members commit nothing (stalled), or it has "
            "none (dead): its service is down or hangs.",
            board="lag",
            panel="Group status",
            labels=(GROUP, PIPELINE),
            keep=_UNTIL_FLOWS_ARE_IN_TIME,
        ),
        Alert(
            name="GroupReplaced",
            expr=of_chosen_pipeline(scope, f"{_of_cause(scope, 'replaced')} == 1", GROUP),
            wait="10m",
            severity="warning",
            summary=f"{_GROUP} has no members: its application reads as another group now",
            description="The log of the lag monitor names the other group. What the old one has "
            "not committed counts as abandoned: it is no lag, and does not page. Delete the old "
            "group. If its service should run as well, this is an outage: start it.",
            board="lag",
            panel="Group status",
            labels=(GROUP,),
        ),
        Alert(
            name="ConsumerLagGrowing",
            expr=of_chosen_pipeline(
                scope,
                f"{seconds} > {lag.SECONDS.thresholds[-1].value:g} "
                f"and deriv(({seconds})[{scope.window}:1m]) > 0",
                GROUP,
            ),
            wait="15m",
            severity="warning",
            summary=f"{_GROUP} is {_DURATION} behind on {_TOPIC}, and falls further behind",
            description="Records arrive faster than the group processes them.",
            board="lag",
            panel="Lag in seconds",
            labels=(GROUP, TOPIC),
        ),
        Alert(
            name="HotPartition",
            expr=of_chosen_pipeline(scope, f"{_of_cause(scope, 'one_partition')} == 1", GROUP),
            wait="10m",
            severity="warning",
            summary=f"{_GROUP} is behind on one partition only",
            description="Its other partitions keep up. One key has most of the records, or one "
            'record blocks those behind it. "Top 10 partitions by lag in seconds" names the '
            "partition.",
            board="lag",
            panel="Top 10 partitions by lag in seconds",
            labels=(GROUP,),
        ),
        Alert(
            name="RetentionNearlyUsed",
            expr=of_chosen_pipeline(
                scope,
                f"{used.expr(replace(scope, fresh=True))} > {used.thresholds[-1].value:g}",
                GROUP,
            ),
            wait=scope.wait,
            severity="critical",
            summary=f"{_GROUP} is about to lose records of {_TOPIC}",
            description="Its oldest uncommitted record has used {{ $value | humanizePercentage }} "
            "of the topic's retention. From 100 % on, the broker may delete it at any time, "
            "together with the records after it in its segment.",
            board="lag",
            panel="Retention used",
            labels=(GROUP, TOPIC),
        ),
        Alert(
            name="RecordsLost",
            expr=of_chosen_pipeline(scope, f"{lag.LOST.expr(scope)} > 0", GROUP),
            wait="0m",
            severity="critical",
            summary=f"{_GROUP} has lost {_COUNT} records of {_TOPIC}",
            description=f"They were deleted within {scope.window} before the group committed "
            "them: it can no longer process them.",
            board="lag",
            panel="Records lost",
            labels=(GROUP, TOPIC),
        ),
        Alert(
            name="GroupStatusUnknown",
            expr=of_chosen_pipeline(scope, f"{_unknown(scope)} == 1", GROUP),
            wait="10m",
            severity="warning",
            summary=f"{_GROUP} may be dead: its status is not known any longer",
            description="The cluster does not answer the lag monitor, or the monitor has not "
            "watched long enough to judge. Until it does, ConsumerStalled cannot fire for the "
            "group.",
            board="lag",
            panel="Group status",
            labels=(GROUP,),
        ),
        Alert(
            name="LagMonitorDown",
            expr=_monitor_disappeared(scope),
            wait="5m",
            severity="critical",
            summary=f"The lag monitor {{{{ $labels.{SERVICE} }}}} is down, or the cluster does not "
            "answer it",
            description="It reports no groups any longer. Until it does, no alert fires for "
            "its stalled consumers, growing lag, losses or old dead letters.",
            board="lag",
            panel="Stalled or dead groups",
            labels=(SERVICE,),
        ),
    )


def order_alerts(scope: Scope) -> tuple[Alert, ...]:
    """Make the alerts on events out of order and on commands that two groups carry out."""
    return (
        Alert(
            name="CommandReadTwice",
            expr=of_chosen_pipeline(scope, f"{order.COMMAND_READERS.expr(scope)} > 1", TOPIC),
            wait="10m",
            severity="critical",
            summary=f"{_COUNT} groups carry out the commands of {_TOPIC}",
            description="Each of them carries out every command, such as charging a card. A topic "
            "of commands should have one group.",
            board="lag",
            panel="Groups that read commands",
            labels=(TOPIC,),
        ),
        Alert(
            name="RecordsOutOfOrder",
            expr=of_chosen_pipeline(scope, f"{order.OUT_OF_ORDER.expr(scope)} > 0", GROUP),
            wait="0m",
            severity="warning",
            summary=f"{_GROUP} processed {_COUNT} records of {_TOPIC} out of order",
            description=f"Within {scope.window}, a key was in two partitions, or an older event "
            "came after a newer one: what the group stored may be out of date.",
            board="lag",
            panel="Records out of order",
            labels=(GROUP, TOPIC),
        ),
    )


def dead_letter_alerts(scope: Scope) -> tuple[Alert, ...]:
    """Make the alerts on dead letters."""
    oldest = dead_letters.OLDEST
    return (
        Alert(
            name="DeadLettersGrowing",
            expr=of_chosen_pipeline(scope, f"({_new_dead_letters(scope)})", GROUP),
            wait="0m",
            severity="warning",
            summary=f"{_GROUP} gave up on {_COUNT} records of {_TOPIC}: {{{{ $labels.{ERROR} }}}}",
            description="The work for them was not done. Find the reason, fix the cause, replay "
            "them, then purge them.",
            board="dead-letters",
            panel="Dead letters by reason",
            labels=(GROUP, TOPIC, ERROR),
            over="1d",
        ),
        Alert(
            name="DeadLetterAgeHigh",
            expr=of_chosen_pipeline(
                scope, f"{oldest.expr(scope)} > {oldest.thresholds[-1].value:g}", GROUP
            ),
            wait="10m",
            severity="warning",
            summary=f"{_GROUP} has a dead letter of {_TOPIC} that is {_DURATION} old",
            description="Kafka deletes it when the retention of its topic ends: replay it before "
            "that.",
            board="dead-letters",
            panel="Age of the oldest dead letter",
            labels=(GROUP, TOPIC),
        ),
    )


def _of_cause(scope: Scope, cause: str) -> str:
    return scope.newest(CONSUMER_CAUSE, f'{CAUSE}="{cause}"', of=(GROUP,), by=(GROUP,))


def _unknown(scope: Scope) -> str:
    return scope.newest(CONSUMER_STATUS, f'{STATUS}="{UNKNOWN}"', of=(GROUP,), by=(GROUP,))


def _stalled(scope: Scope) -> str:
    """Return a query for groups that process nothing, with their pipeline and seconds behind."""
    # Monitors of two clusters may report groups of one name: each that lives counts.
    status = scope.highest(CONSUMER_STATUS, f'{STATUS}=~"stalled|dead"', by=(GROUP,))
    behind = aggregate("max", (GROUP,), lag.SECONDS.expr(scope))
    halted = f"({behind} > 1 and {status} == 1 or {status} == 1)"
    groups = of_chosen_pipeline(scope, halted, GROUP)
    known = known_hops(scope, by=(PIPELINE, GROUP))
    return f"{known} * on ({GROUP}) group_left () {groups} or {groups} unless on ({GROUP}) {known}"


def _new_dead_letters(scope: Scope) -> str:
    """Return a query for new dead letters, and for those of the day that are still there.

    Those that came before the topic was last empty are not: they were purged. Of the others, no
    more are there than the topic holds. DeadLetterAgeHigh takes over after a day, and waits.
    Without the lag monitor, only the new ones count.
    """
    by = (GROUP, TOPIC, ERROR)
    new = scope.increase(DEAD_LETTERS, by=by)
    of_the_day = f"({replace(scope, window=_DEAD_LETTERS_FOR).increase(DEAD_LETTERS, by=by)} > 0)"
    depth = dead_letters.DEPTH.expr(scope)
    join = f"on ({GROUP}, {TOPIC}) group_left ()"
    still = f"({of_the_day} <= {join} {depth} or 0 * {of_the_day} + {join} {depth})"
    return f"({still} > 0 unless {_purged(scope, by)}) or {new} > 0"


def _purged(scope: Scope, by: Sequence[str]) -> str:
    """Return a query for dead letters after whose last one the topic was empty.

    The lag monitor sees a dead letter a step late at most.
    """
    series = scope.select(DEAD_LETTERS)
    before = f"{series} offset {_STEP}"
    grew = aggregate("group", by, f"{series} > {before} or ({series} > 0 unless {before})")
    last = f"max_over_time((time() * {grew})[{_DEAD_LETTERS_FOR}:{_STEP}])"
    empty = f"timestamp({dead_letters.DEPTH.expr(scope)} == 0)"
    emptied = f"max_over_time({empty}[{_DEAD_LETTERS_FOR}:{_STEP}])"
    return f"({last} < on ({GROUP}, {TOPIC}) group_left () ({emptied} - {seconds_of(_STEP)}))"


def _monitor_disappeared(scope: Scope) -> str:
    """Return a query for services of which fewer monitors report than should.

    A monitor that reported within a week, which is longer than a weekend, has a successor if
    another one reports any of its groups: after a restart, the new process does. If none does, the
    groups may have been deleted, or others may be watched now. So as many monitors of its service
    should report as did at once while it did, for ten minutes at least. The result is how many are
    missing.

    One look an hour is enough: to read all samples of a week takes seconds with many groups.
    Without answers of the cluster, a monitor reports statuses that are unknown, and no causes.
    """
    # Of each group, all causes are reported.
    series = scope.select(CONSUMER_CAUSE, f'{CAUSE}="{_ANY_CAUSE}"')
    monitor = (SERVICE, INSTANCE)
    groups = aggregate("group", (*monitor, GROUP), series)
    lasting = (
        f"{aggregate('group', monitor, series)} and "
        f"{aggregate('group', monitor, f'{series} offset 10m')}"
    )
    beside = (
        f"({groups} * on ({SERVICE}) group_left () count by ({SERVICE}) ({lasting}) or {groups})"
    )
    every = f"(max_over_time({beside}[2h:5m]) or max_over_time({beside}[7d:1h]))"
    replaced = f"{every} and on ({GROUP}) {aggregate('group', (GROUP,), series)}"
    gone = f"{every} unless on ({', '.join(monitor)}) {aggregate('group', monitor, replaced)}"
    should = aggregate("max", (SERVICE,), gone)
    do = f"count by ({SERVICE}) ({aggregate('group', monitor, series)})"
    return (
        f'sum by ({SERVICE}) (label_replace({should}, "{COUNTED}", "should", "", "") or '
        f'label_replace(-1 * {do}, "{COUNTED}", "do", "", "")) > 0'
    )
