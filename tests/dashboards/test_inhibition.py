"""One dead service makes few notifications: causes silence symptoms, and nothing more urgent."""

from __future__ import annotations

from itertools import pairwise

import yaml

from dashboards.rules.inhibition import INHIBITIONS, alertmanager_file, grafana_policies
from tests.dashboards.firing_alerts import (
    ALERTS,
    CONFIG,
    DEAD_SERVICE,
    audible,
    labels,
    matches,
)


def test_a_dead_service_makes_three_notifications_at_any_moment() -> None:
    firing = [labels(name) for name in DEAD_SERVICE]
    assert {"ConsumerStalled", "SagaOverdue", "ServiceNotReporting"} == audible(firing)
    for count in range(1, len(firing) + 1):
        assert len(audible(firing[:count])) <= 3


def test_the_dead_consumer_of_a_pipeline_does_not_silence_another_pipeline() -> None:
    firing = [labels("ConsumerStalled"), labels("EndToEndOutage", pipeline="returns")]
    assert {"ConsumerStalled", "EndToEndOutage"} == audible(firing)


def test_a_cause_silences_only_alerts_that_are_no_more_urgent_and_have_itslabels() -> None:
    for rule in INHIBITIONS:
        cause = ALERTS[rule.cause]
        for name in rule.symptoms:
            assert "critical" == cause.severity or "warning" == ALERTS[name].severity, rule
            # Alertmanager takes two missing labels for equal.
            assert set(rule.same) <= set(cause.labels) & set(ALERTS[name].labels), rule


def test_of_lost_and_left_out_records_only_those_speak_that_can_still_be_read() -> None:
    skipped = labels("RecordsSkipped")
    assert {"RecordsSkipped"} == audible([skipped, labels("RecordsLost")])
    for other in ("messaging_consumer_group_name", "messaging_destination_name"):
        lost = labels("RecordsLost", **{other: "other"})
        assert {"RecordsSkipped", "RecordsLost"} == audible([skipped, lost])


def test_a_monitor_without_answers_is_one_alert_and_not_one_for_each_group() -> None:
    firing = [labels("LagMonitorDown"), labels("GroupStatusUnknown")]
    assert {"LagMonitorDown"} == audible(firing)


def test_of_the_budget_alerts_the_fastest_one_speaks() -> None:
    burns = [name for name in ALERTS if name.startswith("EndToEnd")]
    for faster, slower in pairwise(burns):
        assert {faster} == audible([labels(faster), labels(slower)])


def test_every_alert_has_a_route_and_critical_ones_have_another_receiver() -> None:
    document = yaml.safe_load(alertmanager_file(CONFIG))
    (route,) = document["route"]["routes"]
    (pages,) = route["routes"]
    assert all(matches(route["matchers"], {"alertname": name}) for name in ALERTS)
    assert ['severity="critical"'] == pages["matchers"]
    assert pages["receiver"] != route["receiver"]
    names = {each["name"] for each in document["receivers"]}
    assert {pages["receiver"], route["receiver"]} == names


def test_grafana_groups_the_alerts_of_a_severity() -> None:
    (policy,) = yaml.safe_load(grafana_policies(CONFIG))["policies"]
    assert ["grafana_folder", "severity", "team"] == policy["group_by"]
