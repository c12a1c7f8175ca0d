"""All alerts, made of the same signals as the panels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dashboards.model.labels import GROUP, OUTCOME, REASON, SAGA, SERVICE, STATUS, TOPIC
from dashboards.model.promql import Scope, added
from dashboards.model.rule import Alert
from dashboards.rules.burn_rate import burn_rate_alerts
from dashboards.signals import dead_letters, lag, sagas, services
from tracing.metrics.catalog import CONSUMER_STATUS, DEAD_LETTERS, SAGA_ENDED, TELEMETRY_DROPPED

if TYPE_CHECKING:
    from dashboards.config import Config

_HOP = f"{{{{ $labels.{GROUP} }}}} ← {{{{ $labels.{TOPIC} }}}}"
_GROUP = f"Group {{{{ $labels.{GROUP} }}}}"
_SAGA = f"{{{{ $labels.{SAGA} }}}}"
_SERVICE = f"{{{{ $labels.{SERVICE} }}}}"
_NOT_LINKS: Final = f'{REASON}!="links"'
# Exports, of which most services make one each minute.
_STAYED: Final = 10
_SHORT: Final = "6h"
# A weekend on which nobody looks is no end of it.
_LONG: Final = "7d"


def make_alerts(config: Config, *, recorded: bool = True) -> tuple[Alert, ...]:
    """Make them.

    Args:
        config: What they are made for.
        recorded: Whether they may ask for what the recording rules keep: those that go to the
            same Prometheus may, others must not depend on it.
    """
    scope = replace(Scope.of(config, window="15m"), ruleset=config.prefix if recorded else "")
    return (
        *burn_rate_alerts(scope, config.objectives),
        *_of_consumers(scope),
        *_of_dead_letters(scope),
        *_of_sagas(scope),
        *_of_services(scope),
        *_of_telemetry(scope),
    )


def _of_consumers(scope: Scope) -> tuple[Alert, ...]:
    late = lag.SECONDS.expr(scope)
    still = scope.worst(CONSUMER_STATUS, f'{STATUS}=~"stalled|dead"', by=(GROUP,))
    return (
        Alert(
            name="ConsumerStandsStill",
            expr=f"{still} == 1",
            wait="2m",
            severity="critical",
            summary=f"{_GROUP} stands still",
            description=f"{_GROUP} is behind and commits nothing (stalled), or has no members "
            "(dead). What is sent to it waits.",
            board="lag",
            panel="Status of groups",
            labels=(GROUP,),
        ),
        Alert(
            name="ConsumerLagGrowing",
            expr=f"{late} > {lag.SECONDS.thresholds[-1].value:g} "
            f"and deriv(({late})[{scope.window}:1m]) > 0",
            wait="15m",
            severity="warning",
            summary=f"{_HOP} falls further behind",
            description="The oldest record that is not committed is {{ $value | humanizeDuration "
            "}} old, and that grows: more comes than is handled.",
            board="lag",
            panel="Lag in seconds",
            labels=(GROUP, TOPIC),
        ),
        Alert(
            name="LagMonitorAbsent",
            expr=_gone(scope.select(CONSUMER_STATUS), _LONG),
            wait="5m",
            severity="critical",
            summary="Nobody looks at consumer lag any more",
            description="The lag monitor was there and is gone. Groups that stand still, lag that "
            "grows and old dead letters are told by nobody until it is back.",
            board="lag",
            panel="Stalled or dead groups",
        ),
    )


def _of_dead_letters(scope: Scope) -> tuple[Alert, ...]:
    oldest = dead_letters.OLDEST
    return (
        Alert(
            name="DeadLettersGrowing",
            expr=f"{scope.grown(DEAD_LETTERS, by=(GROUP, TOPIC))} > 0",
            wait="0m",
            severity="warning",
            summary=f"{_HOP} gave up on records",
            description='{{ $value | printf "%.0f" }} records became dead letters within '
            f"{scope.window}. Look at the reason, mend it, replay them.",
            board="dead-letters",
            panel="Dead letters by reason",
            labels=(GROUP, TOPIC),
        ),
        Alert(
            name="DeadLettersOld",
            expr=f"{oldest.expr(scope)} > {oldest.thresholds[-1].value:g}",
            wait="10m",
            severity="warning",
            summary=f"Nobody looks after the dead letters of {_HOP}",
            description="The oldest one is {{ $value | humanizeDuration }} old. The topic forgets "
            "it after its retention.",
            board="dead-letters",
            panel="Age of the oldest dead letter",
            labels=(GROUP, TOPIC),
        ),
    )


def _of_sagas(scope: Scope) -> tuple[Alert, ...]:
    share = sagas.TURNED_BACK
    return (
        Alert(
            name="SagaOverdue",
            expr=f"{sagas.OVERDUE.expr(scope)} > 0",
            wait="5m",
            severity="warning",
            summary=f"{_SAGA}: sagas are overdue",
            description="Sagas older than their deadline: {{ $value | humanize }}. See which step "
            "they wait for.",
            board="sagas",
            panel="Overdue sagas",
            labels=(SAGA,),
        ),
        Alert(
            name="SagaFailed",
            expr=f"{sagas.FAILED.expr(scope)} > 0",
            wait="0m",
            severity="critical",
            summary=f"{_SAGA}: a saga failed and needs a human",
            description="Its compensation could not finish: something is reserved, charged or sent "
            "that should not be.",
            board="sagas",
            panel="Failed sagas",
            labels=(SAGA,),
        ),
        Alert(
            name="SagaTurnedBackOften",
            # Of a few sagas any share is chance.
            expr=f"{share.expr(scope)} > {share.thresholds[-1].value:g} and "
            f"sum by ({SAGA}) ({scope.shared_increase(SAGA_ENDED, by=(SAGA, OUTCOME))}) >= 10",
            wait="5m",
            severity="warning",
            summary=f"{_SAGA}: most sagas are compensated or fail",
            description="{{ $value | humanizePercentage }} of the sagas that ended were "
            "compensated or failed. See which step refuses.",
            board="sagas",
            panel="Share of sagas compensated or failed",
            labels=(SAGA,),
        ),
    )


def _of_services(scope: Scope) -> tuple[Alert, ...]:
    outbox = services.OUTBOX_AGE
    return (
        Alert(
            name="OutboxStuck",
            expr=f"{outbox.expr(scope)} > {outbox.thresholds[-1].value:g}",
            wait="2m",
            severity="critical",
            summary=f"The outbox of {_SERVICE} is stuck",
            description="Its oldest message has waited for {{ $value | humanizeDuration }}. The "
            "relay is dead, or the broker refuses what it sends.",
            board="service",
            panel="Oldest message in the outbox",
            labels=(SERVICE,),
        ),
    )


def _of_telemetry(scope: Scope) -> tuple[Alert, ...]:
    # Of all metrics the one that every telemetry tells from its start, also where nothing happens.
    alive = scope.select(TELEMETRY_DROPPED)
    return (
        Alert(
            name="TelemetryDropped",
            # Links beyond the bound of a batch are left out on purpose.
            expr=scope.grown(TELEMETRY_DROPPED, _NOT_LINKS, by=(SERVICE, REASON)) + " > 0",
            wait="15m",
            severity="warning",
            summary=f"{_SERVICE} drops telemetry: {{{{ $labels.{REASON} }}}}",
            description="What dashboards show of this service is not all. Its log says why, once.",
            board="telemetry",
            panel="Dropped telemetry",
            labels=(SERVICE, REASON),
        ),
        Alert(
            name="ServiceSilent",
            expr=_gone(alive, _SHORT, SERVICE),
            wait="10m",
            severity="warning",
            summary=f"{_SERVICE} reports nothing any more",
            description="It told metrics within the last hours and does not now: it is down, or "
            "cannot reach the collector. What alerts said of it last may still hold. A service "
            "that was taken away for good is forgotten after some hours.",
            board="telemetry",
            panel="Services that report",
            labels=(SERVICE,),
        ),
        Alert(
            name="TelemetryAbsent",
            expr=f"absent({alive})",
            wait="10m",
            severity="critical",
            summary="No service reports any more",
            description="Services, collector or their connection are down. All other alerts are "
            "blind until this is mended.",
            board="telemetry",
            panel="Services that report",
        ),
    )


def _gone(series: str, within: str, *by: str) -> str:
    """What was told within some time and is not any more; a command that ended at once is none."""
    before = added("group", by, f"count_over_time({series}[{within}]) >= {_STAYED}")
    return f"{before} unless {added('group', by, series)}"
