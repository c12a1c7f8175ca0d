"""All alerts, built from the same signals as the panels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dashboards.model.labels import (
    GROUP,
    OUTCOME,
    PROJECTION,
    REASON,
    SAGA,
    SERVICE,
    STATUS,
    SUBJECT,
    TOPIC,
    VERSION,
)
from dashboards.model.promql import Scope, aggregate
from dashboards.model.rule import Alert
from dashboards.rules.burn_rate import burn_rate_alerts
from dashboards.rules.own import own_alerts
from dashboards.signals import dead_letters, lag, replays, sagas, schemas, services
from tracing.metrics.catalog import CONSUMER_STATUS, DEAD_LETTERS, SAGA_ENDED, TELEMETRY_DROPPED

if TYPE_CHECKING:
    from dashboards.config import Config

_HOP = f"{{{{ $labels.{GROUP} }}}} ← {{{{ $labels.{TOPIC} }}}}"
_GROUP = f"Group {{{{ $labels.{GROUP} }}}}"
_SAGA = f"{{{{ $labels.{SAGA} }}}}"
_SERVICE = f"{{{{ $labels.{SERVICE} }}}}"
# Links beyond the limit of a batch are dropped on purpose.
_NOT_LINKS: Final = f'{REASON}!="links"'
# Most services export once a minute: this leaves out commands that end within ten minutes.
_MIN_EXPORTS: Final = 10
_SERVICE_REMEMBERED_FOR: Final = "6h"
# Longer than a weekend.
_MONITOR_REMEMBERED_FOR: Final = "7d"


def make_alerts(config: Config, *, recorded: bool = True) -> tuple[Alert, ...]:
    """Make all alerts.

    Args:
        config: The configuration.
        recorded: Whether the alerts may query recorded series. Only the Prometheus that evaluates
            the recording rules has them.

    Raises:
        ConfigError: An alert that the user adds does not fit.
    """
    scope = replace(Scope.of(config, window="15m"), ruleset=config.prefix if recorded else "")
    built_in = (
        *burn_rate_alerts(scope, config.objectives),
        *_consumer_alerts(scope),
        *_dead_letter_alerts(scope),
        *_schema_alerts(scope),
        *_read_model_alerts(scope),
        *_saga_alerts(scope),
        *_service_alerts(scope),
        *_telemetry_alerts(scope),
    )
    return (*built_in, *own_alerts(scope, config, [alert.name for alert in built_in]))


def _consumer_alerts(scope: Scope) -> tuple[Alert, ...]:
    seconds = lag.SECONDS.expr(scope)
    used = lag.RETENTION_USED
    stalled = scope.newest(CONSUMER_STATUS, f'{STATUS}=~"stalled|dead"', of=(GROUP,), by=(GROUP,))
    return (
        Alert(
            name="ConsumerStalled",
            expr=f"{stalled} == 1",
            wait="2m",
            severity="critical",
            summary=f"{_GROUP} is stalled or has no members",
            description=f"{_GROUP} is behind. Either its members commit nothing (stalled), or it "
            "has no members (dead). Its records wait.",
            board="lag",
            panel="Group status",
            labels=(GROUP,),
        ),
        Alert(
            name="ConsumerLagGrowing",
            expr=f"{seconds} > {lag.SECONDS.thresholds[-1].value:g} "
            f"and deriv(({seconds})[{scope.window}:1m]) > 0",
            wait="15m",
            severity="warning",
            summary=f"{_HOP} falls further and further behind",
            description="The oldest uncommitted record is {{ $value | humanizeDuration }} old, and "
            "its age is growing: records arrive faster than the group processes them.",
            board="lag",
            panel="Lag in seconds",
            labels=(GROUP, TOPIC),
        ),
        Alert(
            name="RetentionNearlyUsed",
            expr=f"{used.expr(scope)} > {used.thresholds[-1].value:g}",
            wait="1m",
            severity="critical",
            summary=f"{_HOP} is about to lose records",
            description="Its oldest uncommitted record has used {{ $value | humanizePercentage }} "
            "of the topic's retention. From 100 % on, the broker may delete it at any time, "
            "together with the records after it in its segment.",
            board="lag",
            panel="Retention used",
            labels=(GROUP, TOPIC),
        ),
        Alert(
            name="RecordsLost",
            expr=f"{lag.LOST.expr(scope)} > 0",
            wait="0m",
            severity="critical",
            summary=f"{_HOP} has lost records",
            description='{{ $value | printf "%.0f" }} records were deleted within '
            f"{scope.window} before the group committed them: it can no longer process them.",
            board="lag",
            panel="Records lost",
            labels=(GROUP, TOPIC),
        ),
        Alert(
            name="LagMonitorDown",
            expr=_disappeared(scope.select(CONSUMER_STATUS), _MONITOR_REMEMBERED_FOR),
            wait="5m",
            severity="critical",
            summary="The lag monitor is down",
            description="It stopped reporting. Until it is back, no alert fires for stalled "
            "consumers, growing lag, losses or old dead letters.",
            board="lag",
            panel="Stalled or dead groups",
        ),
    )


def _dead_letter_alerts(scope: Scope) -> tuple[Alert, ...]:
    oldest = dead_letters.OLDEST
    return (
        Alert(
            name="DeadLettersGrowing",
            expr=f"{scope.increase(DEAD_LETTERS, by=(GROUP, TOPIC))} > 0",
            wait="0m",
            severity="warning",
            summary=f"{_HOP} has new dead letters",
            description='{{ $value | printf "%.0f" }} records became dead letters within '
            f"{scope.window}. Find the reason, fix the cause, then replay them.",
            board="dead-letters",
            panel="Dead letters by reason",
            labels=(GROUP, TOPIC),
        ),
        Alert(
            name="DeadLetterAgeHigh",
            expr=f"{oldest.expr(scope)} > {oldest.thresholds[-1].value:g}",
            wait="10m",
            severity="warning",
            summary=f"{_HOP} has dead letters that are more than a day old",
            description="The oldest one is {{ $value | humanizeDuration }} old. Kafka deletes it "
            "when the retention of its topic ends: replay it before that.",
            board="dead-letters",
            panel="Age of the oldest dead letter",
            labels=(GROUP, TOPIC),
        ),
    )


def _schema_alerts(scope: Scope) -> tuple[Alert, ...]:
    return (
        Alert(
            name="DecodeFailures",
            expr=f"{schemas.FAILURES.expr(scope)} > 0",
            wait="0m",
            severity="warning",
            summary=f"{_SERVICE} cannot decode messages: {{{{ $labels.{OUTCOME} }}}}, subject "
            f"{{{{ $labels.{SUBJECT} }}}} version {{{{ $labels.{VERSION} }}}}",
            description='{{ $value | printf "%.0f" }} messages within '
            f"{scope.window} have a schema that the registry does not know (unknown_id), or do not "
            "fit it (undecodable). Further ones of their producer will probably fail, too.",
            board="service",
            panel="Decode failures",
            labels=(SERVICE, SUBJECT, VERSION, OUTCOME),
        ),
    )


def _read_model_alerts(scope: Scope) -> tuple[Alert, ...]:
    age = replays.STALENESS
    return (
        Alert(
            name="ReadModelStale",
            expr=f"{age.expr(scope)} > {age.thresholds[-1].value:g}",
            wait="6m",
            severity="warning",
            summary=f"{_SERVICE}: the read model {{{{ $labels.{PROJECTION} }}}} is out of date",
            description="The oldest record that it has not applied is {{ $value | "
            "humanizeDuration }} old. Who reads it sees the past.",
            board="lag",
            panel="Age of read models",
            labels=(SERVICE, PROJECTION),
        ),
    )


def _saga_alerts(scope: Scope) -> tuple[Alert, ...]:
    share = sagas.COMPENSATION_RATE
    return (
        Alert(
            name="SagaOverdue",
            expr=f"{sagas.OVERDUE.expr(scope)} > 0",
            wait="6m",
            severity="warning",
            summary=f"{_SAGA}: sagas are past their deadline",
            description="Sagas that have not ended by their deadline: {{ $value | humanize }}. See "
            "which step they wait for.",
            board="sagas",
            panel="Overdue sagas",
            labels=(SAGA,),
        ),
        Alert(
            name="SagaFailed",
            expr=f"{sagas.FAILED.expr(scope)} > 0",
            wait="0m",
            severity="critical",
            summary=f"{_SAGA}: a saga failed and needs manual repair",
            description="Its compensation could not finish: something that should be undone is "
            "still reserved, charged or sent.",
            board="sagas",
            panel="Failed sagas",
            labels=(SAGA,),
        ),
        Alert(
            name="SagaCompensationRateHigh",
            # Among fewer than ten sagas, a high share may be chance.
            expr=f"{share.expr(scope)} > {share.thresholds[-1].value:g} and "
            f"sum by ({SAGA}) ({scope.max_increase(SAGA_ENDED, by=(SAGA, OUTCOME))}) >= 10",
            wait="5m",
            severity="warning",
            summary=f"{_SAGA}: most sagas are compensated or fail",
            description="{{ $value | humanizePercentage }} of the sagas that ended were "
            "compensated or failed. See which step rejects them or fails.",
            board="sagas",
            panel="Share of sagas compensated or failed",
            labels=(SAGA,),
        ),
    )


def _service_alerts(scope: Scope) -> tuple[Alert, ...]:
    oldest = services.OUTBOX_AGE
    return (
        Alert(
            name="OutboxStuck",
            expr=f"{oldest.expr(scope)} > {oldest.thresholds[-1].value:g}",
            wait="6m",
            severity="critical",
            summary=f"The outbox of {_SERVICE} is stuck",
            description="Its oldest message has waited for {{ $value | humanizeDuration }}. The "
            "relay is down, or the broker rejects its messages.",
            board="service",
            panel="Oldest message in the outbox",
            labels=(SERVICE,),
        ),
    )


def _telemetry_alerts(scope: Scope) -> tuple[Alert, ...]:
    # Every service reports this metric from its start, even when it processes nothing.
    reporting = scope.select(TELEMETRY_DROPPED)
    return (
        Alert(
            name="TelemetryDropped",
            expr=scope.increase(TELEMETRY_DROPPED, _NOT_LINKS, by=(SERVICE, REASON)) + " > 0",
            wait="15m",
            severity="warning",
            summary=f"{_SERVICE} drops telemetry: {{{{ $labels.{REASON} }}}}",
            description="Dashboards show only part of this service. Its log has the cause, once.",
            board="telemetry",
            panel="Dropped telemetry",
            labels=(SERVICE, REASON),
        ),
        Alert(
            name="ServiceNotReporting",
            expr=_disappeared(reporting, _SERVICE_REMEMBERED_FOR, SERVICE),
            wait="10m",
            severity="warning",
            summary=f"{_SERVICE} has stopped reporting metrics",
            description="The service is down, or it cannot reach the collector. Problems that its "
            "alerts reported earlier may still exist. If the service was removed on purpose, this "
            f"alert ends {_SERVICE_REMEMBERED_FOR} after its last report.",
            board="telemetry",
            panel="Services that report",
            labels=(SERVICE,),
        ),
        Alert(
            name="TelemetryAbsent",
            expr=f"absent({reporting})",
            wait="10m",
            severity="critical",
            summary="No service reports metrics",
            description="The services, the collector or the connection between them are down. "
            "No other alert can be trusted until this is fixed.",
            board="telemetry",
            panel="Services that report",
        ),
    )


def _disappeared(series: str, within: str, *by: str) -> str:
    """Return a query for what reported repeatedly in that time and no longer does."""
    before = aggregate("group", by, f"count_over_time({series}[{within}]) >= {_MIN_EXPORTS}")
    return f"{before} unless {aggregate('group', by, series)}"
