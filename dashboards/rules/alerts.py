"""All alerts, made of the same signals as the panels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.labels import GROUP, OUTCOME, REASON, SAGA, SERVICE, STATUS, TOPIC
from dashboards.recorded import LAG_SECONDS
from dashboards.rules.burn_rate import burn_rate_alerts
from dashboards.rules.rule import Alert
from dashboards.scope import Scope
from dashboards.signals import instrumentation, lag, letters, sagas, services
from tracing.catalog import CONSUMER_STATUS, DEAD_LETTERS, SAGA_ENDED, SENT_MESSAGES

if TYPE_CHECKING:
    from dashboards.config import Config

_HOP = f"{{{{ $labels.{GROUP} }}}} ← {{{{ $labels.{TOPIC} }}}}"
_GROUP = f"Group {{{{ $labels.{GROUP} }}}}"
_SAGA = f"{{{{ $labels.{SAGA} }}}}"
_SERVICE = f"{{{{ $labels.{SERVICE} }}}}"


def alerts(config: Config) -> tuple[Alert, ...]:
    """Make them."""
    quarter = Scope(window="15m", selector=config.selector)
    return (
        *burn_rate_alerts(),
        *_of_consumers(quarter),
        *_of_dead_letters(quarter),
        *_of_sagas(quarter),
        *_of_services(quarter),
    )


def _of_consumers(scope: Scope) -> tuple[Alert, ...]:
    return (
        *(
            Alert(
                name=f"Consumer{status.capitalize()}",
                expr=_in_status(scope, status),
                wait="2m",
                severity="critical",
                summary=f"{_GROUP} is {status}",
                description=f"{_GROUP} {meaning}. What is sent to it waits.",
                board="lag",
            )
            for status, meaning in (
                ("stalled", "is behind and has members, but commits nothing"),
                ("dead", "is behind and has no members"),
            )
        ),
        Alert(
            name="ConsumerLagGrowing",
            expr=f"{LAG_SECONDS} > {lag.SECONDS.thresholds[-1].value:g} "
            f"and deriv({LAG_SECONDS}[{scope.window}]) > 0",
            wait="15m",
            severity="warning",
            summary=f"{_HOP} falls further behind",
            description="The oldest record that is not committed is {{ $value | humanizeDuration "
            "}} old, and that grows: more comes than is handled.",
            board="lag",
        ),
    )


def _in_status(scope: Scope, status: str) -> str:
    return scope.worst(CONSUMER_STATUS, f'{STATUS}="{status}"', by=(GROUP,)) + " == 1"


def _of_dead_letters(scope: Scope) -> tuple[Alert, ...]:
    oldest = letters.OLDEST
    return (
        Alert(
            name="DeadLettersGrowing",
            expr=f"{scope.grown(DEAD_LETTERS, by=(GROUP, TOPIC))} > 0",
            wait="0m",
            severity="warning",
            summary=f"{_HOP} gave records up",
            description="{{ $value | humanize }} records became dead letters within "
            f"{scope.window}. Look at the reason, mend it, replay them.",
            board="dead-letters",
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
            description="{{ $value | humanize }} sagas are older than their deadline. Look which "
            "step they wait for.",
            board="sagas",
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
        ),
        Alert(
            name="SagaTurnedBackOften",
            # Of a few sagas any share is chance.
            expr=f"{share.expr(scope)} > {share.thresholds[-1].value:g} and "
            f"sum by ({SAGA}) ({scope.shared_increase(SAGA_ENDED, by=(SAGA, OUTCOME))}) >= 10",
            wait="5m",
            severity="warning",
            summary=f"{_SAGA}: most sagas are turned back",
            description="{{ $value | humanizePercentage }} of the sagas that ended were "
            "compensated or failed. Look which step refuses.",
            board="sagas",
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
        ),
        Alert(
            name="TelemetryDropped",
            expr=f"{instrumentation.DROPPED.expr(scope)} > 0",
            wait="15m",
            severity="warning",
            summary=f"{_SERVICE} drops telemetry: {{{{ $labels.{REASON} }}}}",
            description="What dashboards show of this service is not all. Its log says why, once.",
            board="telemetry",
        ),
        Alert(
            name="TelemetryAbsent",
            expr=f"absent({scope.select(SENT_MESSAGES)})",
            wait="10m",
            severity="critical",
            summary="No service reports any more",
            description="Services, collector or their connection are down. All other alerts are "
            "blind until this is mended.",
            board="telemetry",
        ),
    )
