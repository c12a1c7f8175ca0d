"""The shipped routes and inhibition in a real Alertmanager: who is notified of what."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING

import pytest

from dashboards.config import Config
from dashboards.rules.inhibition import INHIBITIONS, alertmanager_file
from tests.brokers import unavailable
from tests.dashboards.alertmanager_server import ALERTMANAGER, Alertmanager, alertmanager
from tests.dashboards.firing_alerts import ALERTS, CONFIG, DEAD_SERVICE, audible, labels
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

PAGE, TICKET = "pipeline-page", "pipeline-ticket"


@pytest.fixture(scope="module")
def binary() -> Path:
    folder = ALERTMANAGER.built()
    if folder is None:
        unavailable("Alertmanager is built with Go 1.25 or newer, which is not on this machine")
    return folder


@pytest.fixture(scope="module")
def server(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    """Run one Alertmanager for all tests: the label `team` keeps them apart, as in production."""
    folder = tmp_path_factory.mktemp("alertmanager")
    with alertmanager(binary, folder, alertmanager_file(CONFIG)) as running:
        yield running


def _of(team: str, *names: str, **other: str) -> list[dict[str, str]]:
    return [labels(name, team=team, **other) for name in names]


def _has_active(server: Alertmanager, team: str, names: set[str]) -> bool:
    return names == _active(server.states(team=team))


def _active(states: dict[str, str]) -> set[str]:
    return {name for name, state in states.items() if state == "active"}


async def test_the_death_of_a_service_notifies_of_three_alerts(server: Alertmanager) -> None:
    server.fire(_of("dead", *DEAD_SERVICE))
    await eventually(lambda: len(server.notified(team="dead")) >= 3, timeout_s=60)
    causes = {"ConsumerStalled": PAGE, "SagaOverdue": TICKET, "ServiceNotReporting": TICKET}
    made = server.notified(team="dead")
    assert sorted((causes[name], (name,)) for name in causes) == sorted(made)
    suppressed = dict.fromkeys(set(DEAD_SERVICE) - set(causes), "suppressed")
    assert dict.fromkeys(causes, "active") | suppressed == server.states(team="dead")


async def test_a_symptom_is_notified_once_its_cause_has_ended(server: Alertmanager) -> None:
    cause, symptom = _of("ended", "ConsumerStalled", "EndToEndErrorBudgetSlowBurn")
    server.fire([cause, symptom])
    await eventually(lambda: (PAGE, ("ConsumerStalled",)) in server.notified(team="ended"),
                     timeout_s=60)  # fmt: skip
    silenced = {"ConsumerStalled": "active", "EndToEndErrorBudgetSlowBurn": "suppressed"}
    assert silenced == server.states(team="ended")
    server.fire([cause], for_s=-1)
    symptom_alone = ("EndToEndErrorBudgetSlowBurn",)
    await eventually(
        lambda: symptom_alone in [names for _, names in server.notified(team="ended")],
        timeout_s=60,
    )


async def test_two_pipelines_are_two_notifications_and_two_groups_one(
    server: Alertmanager,
) -> None:
    server.fire(
        [
            *_of("grouped", "ConsumerStalled", messaging_consumer_group_name="payment"),
            *_of("grouped", "ConsumerStalled", messaging_consumer_group_name="shipping"),
            *_of("grouped", "EndToEndOutage", pipeline="returns"),
            *_of("grouped", "EndToEndOutage", pipeline="billing"),
        ]
    )
    await eventually(lambda: len(server.notified(team="grouped")) >= 3, timeout_s=60)
    names = [names for _, names in server.notified(team="grouped")]
    assert [("ConsumerStalled",), ("EndToEndOutage",), ("EndToEndOutage",)] == sorted(names)


async def test_each_alert_goes_to_the_receiver_of_its_severity(server: Alertmanager) -> None:
    server.fire(_of("routed", *ALERTS))
    await eventually(lambda: ALERTS.keys() == server.routed(team="routed").keys(), timeout_s=30)
    wanted = {
        name: {PAGE if alert.severity == "critical" else TICKET} for name, alert in ALERTS.items()
    }
    assert wanted == server.routed(team="routed")


async def test_alertmanager_silences_what_its_definition_says(server: Alertmanager) -> None:
    chance = random.Random(7)
    several = sorted({rule.cause for rule in INHIBITIONS} | {*DEAD_SERVICE, "RetentionNearlyUsed"})
    cases = {}
    for number in range(60):
        team = f"chance-{number}"
        here = _of(team, *chance.sample(several, 5))
        elsewhere = _of(
            team, *chance.sample(several, 2), pipeline="returns",
            messaging_consumer_group_name="returns",
        )  # fmt: skip
        cases[team] = list({each["alertname"]: each for each in (*here, *elsewhere)}.values())
        server.fire(cases[team])
    silenced = 0
    for team, firing in cases.items():
        expected = audible(firing)
        await eventually(partial(_has_active, server, team, expected), timeout_s=30, interval_s=0.1)
        silenced += len(firing) - len(expected)
    assert silenced > 60


async def test_another_teams_cause_silences_nothing(server: Alertmanager) -> None:
    server.fire([*_of("red", "ConsumerStalled"), *_of("blue", "EndToEndErrorBudgetSlowBurn")])
    await eventually(lambda: server.notified(team="blue"), timeout_s=60)
    assert {"EndToEndErrorBudgetSlowBurn": "active"} == server.states(team="blue")


async def test_the_file_without_labels_of_ones_own_works_too(binary: Path, tmp_path: Path) -> None:
    firing = [labels(name) for name in DEAD_SERVICE]
    for each in firing:
        del each["team"], each["cluster"]
    with alertmanager(binary, tmp_path, alertmanager_file(Config())) as plain:
        plain.fire(firing)
        await eventually(
            lambda: (
                {"ConsumerStalled", "SagaOverdue", "ServiceNotReporting"} == _active(plain.states())
            ),
            timeout_s=30,
        )
