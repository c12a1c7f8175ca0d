"""All alerts, built from the same signals as the panels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dashboards.model.labels import (
    OUTCOME,
    PIPELINE,
    PROJECTION,
    REASON,
    SAGA,
    SERVICE,
    STATE,
    SUBJECT,
    VERSION,
)
from dashboards.model.promql import Scope, aggregate
from dashboards.model.rule import IN_PIPELINE, Alert, Beside, found_by
from dashboards.rules.burn_rate import burn_rate_alerts
from dashboards.rules.consumer_alerts import consumer_alerts, dead_letter_alerts, order_alerts
from dashboards.rules.own import own_alerts
from dashboards.rules.skipped_alert import skipped_alerts
from dashboards.signals import replays, sagas, schemas, services
from tracing.metrics.catalog import (
    SAGA_OVERDUE,
    SAGA_STATE_OLDEST_AGE,
    TELEMETRY_DROPPED,
)

if TYPE_CHECKING:
    from dashboards.config import Config

_SAGA = f"{{{{ $labels.{SAGA} }}}}"
_COUNT: Final = '{{ $value | printf "%.0f" }}'
_SERVICE = f"{{{{ $labels.{SERVICE} }}}}"
_WINDOW: Final = "15m"
# Links beyond the limit of a batch are dropped on purpose.
_NOT_LINKS: Final = f'{REASON}!="links"'
# This leaves out commands that end within ten minutes.
_SERVICE_FROM_S: Final = 600
_WAITS_IN: Final = (
    f"The longest wait is in state {{{{ .Labels.{STATE} }}}}: {{{{ .Value | humanizeDuration }}}}."
)
_SERVICE_REMEMBERED_FOR: Final = "6h"
# A burst of less than five minutes, such as at the end of a process, is no reason to act.
_DROPS_WINDOW: Final = "3m"


def make_alerts(config: Config, *, recorded: bool = True) -> tuple[Alert, ...]:
    """Make all alerts.

    Args:
        config: The configuration.
        recorded: Whether the alerts may query recorded series. Only the Prometheus that evaluates
            the recording rules has them.

    Raises:
        ConfigError: An alert that the user adds does not fit.
    """
    return (*built_in_alerts(config, recorded=recorded), *added_alerts(config))


def added_alerts(config: Config) -> tuple[Alert, ...]:
    """Make the alerts that the user adds.

    Raises:
        ConfigError: One of them does not fit.
    """
    taken = [alert.name for alert in built_in_alerts(config)]
    return own_alerts(Scope.of(config, window=_WINDOW), config, taken)


def built_in_alerts(config: Config, *, recorded: bool = True) -> tuple[Alert, ...]:
    """Make the alerts that every configuration has; `recorded` is as in `make_alerts`."""
    scope = replace(Scope.of(config, window=_WINDOW), ruleset=config.prefix if recorded else "")
    return (
        *burn_rate_alerts(scope, config.objectives),
        *consumer_alerts(scope),
        *skipped_alerts(scope),
        *order_alerts(scope),
        *dead_letter_alerts(scope),
        *_schema_alerts(scope),
        *_read_model_alerts(scope),
        *_saga_alerts(scope),
        *_service_alerts(scope),
        *_telemetry_alerts(scope),
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
            expr=f"{_lasting(age.expr(scope))} > {age.thresholds[-1].value:g}",
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
            expr=f"{_lasting(sagas.OVERDUE.expr(scope))} > 0",
            wait="6m",
            severity="warning",
            summary=f"{_COUNT} sagas {_SAGA} are past their deadline{IN_PIPELINE}",
            description='They should have ended, and have not. "Longest wait in each state" shows '
            "which step they wait for: its service is down or slow, or gave up on the command.",
            board="sagas",
            panel="Overdue sagas",
            labels=(PIPELINE, SAGA),
            found=_longest_wait(scope),
            beside=_longest_waits(scope),
        ),
        Alert(
            name="SagaFailed",
            expr=f"{_of_the_day(sagas.FAILED.expr(scope), scope.window)} > 0",
            wait="0m",
            severity="critical",
            summary=f'{{{{ $value | printf "%.0f" }}}} sagas {_SAGA} failed and need manual repair',
            description="Within a day, compensations could not finish: something that "
            "should be undone is still reserved, charged or sent.",
            board="sagas",
            panel="Failed sagas",
            labels=(PIPELINE, SAGA),
        ),
        Alert(
            name="SagaCompensationRateHigh",
            # Among fewer than ten sagas, a high share may be chance.
            expr=f"{share.expr(scope)} > {share.thresholds[-1].value:g} and "
            f"{sagas.ended(scope)} >= 10",
            wait="5m",
            severity="warning",
            summary=f"{{{{ $value | humanizePercentage }}}} of sagas {_SAGA} are undone or fail",
            description=f'That is of those that ended within {scope.window}. "Step funnel" shows '
            "which step rejects them or fails.",
            board="sagas",
            panel="Share of sagas compensated or failed",
            labels=(PIPELINE, SAGA),
        ),
    )


def _longest_wait(scope: Scope) -> str:
    waits = scope.newest(
        SAGA_STATE_OLDEST_AGE,
        f"{PIPELINE}=%[1]q, {SAGA}=%[2]q",
        of=(PIPELINE, SAGA),
        by=(STATE,),
        beside=SAGA_OVERDUE,
    )
    return found_by(f"topk(1, {waits} > 0)", (PIPELINE, SAGA), _WAITS_IN)


def _longest_waits(scope: Scope) -> Beside:
    by = (PIPELINE, SAGA)
    waits = scope.newest(SAGA_STATE_OLDEST_AGE, of=by, by=(*by, STATE), beside=SAGA_OVERDUE)
    return Beside(query=f"topk by ({', '.join(by)}) (1, {waits} > 0)", label=STATE, text=_WAITS_IN)


def _service_alerts(scope: Scope) -> tuple[Alert, ...]:
    oldest = services.OUTBOX_AGE
    return (
        Alert(
            name="OutboxStuck",
            expr=f"{_lasting(oldest.expr(scope))} > {oldest.thresholds[-1].value:g}",
            wait="6m",
            severity="critical",
            summary=f"{_SERVICE} sends nothing: its outbox is stuck",
            description="Its oldest message has waited for {{ $value | humanizeDuration }}. Other "
            "services do not hear of what it decided. The relay is down, or the broker rejects its "
            "messages.",
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
            expr=replace(scope, window=_DROPS_WINDOW).increase(
                TELEMETRY_DROPPED, _NOT_LINKS, by=(SERVICE, REASON)
            )
            + " > 0",
            wait="5m",
            severity="warning",
            summary=f"{_SERVICE} loses telemetry: {{{{ $labels.{REASON} }}}}",
            description='It dropped {{ $value | printf "%.0f" }} items within three minutes, and '
            "has done so for five. Dashboards show only part of it. No event is lost. Its log has "
            "the cause, once.",
            board="telemetry",
            panel="Dropped telemetry",
            labels=(SERVICE, REASON),
        ),
        Alert(
            name="ServiceNotReporting",
            expr=_disappeared(reporting, scope, SERVICE),
            wait="10m",
            severity="warning",
            summary=f"{_SERVICE} has stopped reporting metrics",
            description="The service is down, or it cannot reach the collector. Problems that its "
            "alerts reported earlier may still exist. If the service was removed on purpose, this "
            f"alert ends {_SERVICE_REMEMBERED_FOR} after its last report.",
            board="telemetry",
            panel="Services that report",
            labels=(SERVICE,),
            over=_SERVICE_REMEMBERED_FOR,
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


def _of_the_day(increase: str, window: str) -> str:
    """Return a query for what adjacent windows of a day add up to, or this one, if that is more.

    One window of a day would take what a process has counted before Prometheus was new for new.
    """
    day = f"sum_over_time({increase}[1d:{window}])"
    return f"({day} > {increase} or {increase} or {day})"


def _lasting(gauge: str) -> str:
    """Return a query for a gauge, or for its last value if its processes have ended.

    That a process has died repairs nothing. A new one decides again.
    """
    return f"({gauge} or last_over_time(({gauge})[{_SERVICE_REMEMBERED_FOR}:1m]))"


def _disappeared(series: str, scope: Scope, *by: str) -> str:
    """Return a query for what reported for ten minutes at least and no longer does."""
    exports = -(-_SERVICE_FROM_S // scope.export_s)
    before = aggregate(
        "group", by, f"count_over_time({series}[{_SERVICE_REMEMBERED_FOR}]) >= {exports}"
    )
    return f"{before} unless {aggregate('group', by, series)}"
