"""Which alerts are silent while another names the cause, and how the others are grouped.

A cause never silences an alert that is more urgent than itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from dashboards.model.labels import ELSEWHERE, GROUP, OBJECTIVE, PIPELINE, SERVICE, TOPIC
from dashboards.rules.alerts import make_alerts
from dashboards.rules.annotations import shared_labels
from dashboards.rules.files import yaml_of

if TYPE_CHECKING:
    from dashboards.config import Config

_BURNS: Final = ("EndToEndErrorBudgetFastBurn", "EndToEndErrorBudgetMediumBurn",
                 "EndToEndErrorBudgetSlowBurn")  # fmt: skip
# An alert that is silenced itself silences others, so what has another cause as well is apart.
_FLOWS: Final = (PIPELINE, OBJECTIVE, ELSEWHERE)
_PAGE: Final = "pipeline-page"
_TICKET: Final = "pipeline-ticket"


@dataclass(frozen=True, slots=True)
class Inhibition:
    """A cause and its symptoms.

    Attributes:
        cause: The alert that stays.
        symptoms: The alerts that it silences.
        same: The labels that must have the same values on both.
        unless: A label of symptoms that have another cause as well, which speak.
    """

    cause: str
    symptoms: tuple[str, ...]
    same: tuple[str, ...]
    unless: str = ""


INHIBITIONS: Final = (
    Inhibition("TelemetryAbsent", ("ServiceNotReporting", "LagMonitorDown"), ()),
    Inhibition("ConsumerStalled", ("EndToEndOutage", *_BURNS), (PIPELINE,), unless=ELSEWHERE),
    Inhibition("ConsumerStalled", ("ConsumerLagGrowing", "HotPartition"), (GROUP,)),
    Inhibition("EndToEndOutage", _BURNS, _FLOWS),
    Inhibition(_BURNS[0], _BURNS[1:], _FLOWS),
    Inhibition(_BURNS[1], _BURNS[2:], _FLOWS),
    Inhibition("LagMonitorDown", ("GroupStatusUnknown",), ()),
    Inhibition("LagMonitorDown", ("ServiceNotReporting",), (SERVICE,)),
    # Both come from one deletion. What the reset left out can still be read, so it is more urgent.
    Inhibition("RecordsSkipped", ("RecordsLost",), (GROUP, TOPIC)),
    Inhibition("RecordsLost", ("RetentionNearlyUsed", "ConsumerLagGrowing"), (GROUP, TOPIC)),
)


def alertmanager_file(config: Config) -> str:
    """Return a configuration of Alertmanager: routes, and rules that silence symptoms.

    Its receivers are empty: the user's own integrations go there.
    """
    names = "|".join(alert.name for alert in make_alerts(config))
    return yaml_of(
        {
            "route": {
                "receiver": _TICKET,
                "routes": [
                    {
                        "matchers": [f'alertname=~"{names}"'],
                        "receiver": _TICKET,
                        "group_by": ["alertname", PIPELINE, *shared_labels(config)],
                        "group_wait": "30s",
                        "group_interval": "5m",
                        "repeat_interval": "12h",
                        "routes": [
                            {
                                "matchers": ['severity="critical"'],
                                "receiver": _PAGE,
                                "repeat_interval": "2h",
                            }
                        ],
                    }
                ],
            },
            "inhibit_rules": [
                {
                    "source_matchers": [f'alertname="{rule.cause}"'],
                    "target_matchers": [
                        f'alertname=~"{"|".join(rule.symptoms)}"',
                        *([f'{rule.unless}=""'] if rule.unless else []),
                    ],
                    "equal": [*rule.same, *shared_labels(config)],
                }
                for rule in INHIBITIONS
            ],
            "receivers": [{"name": _PAGE}, {"name": _TICKET}],
        }
    )


def grafana_policies(config: Config) -> str:
    """Return Grafana's notification policies as a provisioning file.

    Grafana has no rules that silence symptoms, so each severity of a folder is one notification.
    The file replaces all policies, so it is not among those that are provisioned by default.
    """
    policy: dict[str, Any] = {
        "orgId": 1,
        "receiver": "grafana-default-email",
        "group_by": ["grafana_folder", "severity", *shared_labels(config)],
        "group_wait": "30s",
        "group_interval": "5m",
        "repeat_interval": "12h",
    }
    return yaml_of({"apiVersion": 1, "policies": [policy]})
