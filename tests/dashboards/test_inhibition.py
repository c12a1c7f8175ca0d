"""One dead service makes few notifications: causes silence symptoms, and nothing more urgent."""

from __future__ import annotations

from itertools import combinations, pairwise

import yaml

from dashboards.config import Config
from dashboards.rules.alerts import make_alerts
from dashboards.rules.annotations import labels_of
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


def test_a_stalled_group_does_not_silence_what_has_another_cause_as_well() -> None:
    firing = [
        labels("ConsumerStalled", messaging_consumer_group_name="analytics-old"),
        labels("EndToEndOutage", elsewhere="true"),
        labels("EndToEndErrorBudgetFastBurn", elsewhere="true"),
    ]
    assert {"ConsumerStalled", "EndToEndOutage"} == audible(firing)
    assert {"ConsumerStalled"} == audible([firing[0], labels("EndToEndOutage")])


def test_of_alerts_with_another_cause_the_most_urgent_speaks_also_where_others_are_silent() -> None:
    burns = [name for name in ALERTS if name.startswith("EndToEnd")]
    for more, less in combinations(burns, 2):
        firing = [labels("ConsumerStalled"), labels(more), labels(less, elsewhere="true")]
        assert {"ConsumerStalled", less} == audible(firing)
        both = [labels(name, elsewhere="true") for name in (more, less)]
        assert {more} == audible(both)


def test_a_cause_silences_only_alerts_that_are_no_more_urgent_and_have_its_labels() -> None:
    for rule in INHIBITIONS:
        cause = ALERTS[rule.cause]
        for name in rule.symptoms:
            assert "critical" == cause.severity or "warning" == ALERTS[name].severity, rule
            # Alertmanager takes two missing labels for equal.
            both = set(cause.labels) & set(ALERTS[name].labels)
            # Without this one, neither has a cause apart from the stalled group.
            assert set(rule.same) - {"elsewhere"} <= both, rule
            assert "elsewhere" not in rule.same or rule.cause.startswith("EndToEnd"), rule


def test_of_lost_and_left_out_records_only_those_speak_that_can_still_be_read() -> None:
    skipped = labels("RecordsSkipped")
    assert {"RecordsSkipped"} == audible([skipped, labels("RecordsLost")])
    for other in ("messaging_consumer_group_name", "messaging_destination_name"):
        lost = labels("RecordsLost", **{other: "other"})
        assert {"RecordsSkipped", "RecordsLost"} == audible([skipped, lost])


def test_a_monitor_without_answers_is_one_alert_and_not_one_for_each_group() -> None:
    firing = [labels("LagMonitorDown"), labels("GroupStatusUnknown")]
    assert {"LagMonitorDown"} == audible(firing)


def test_a_dead_monitor_is_one_alert_and_silences_no_other_service() -> None:
    firing = [labels("LagMonitorDown", job="lag"), labels("ServiceNotReporting", job="lag")]
    assert {"LagMonitorDown"} == audible(firing)
    other = labels("ServiceNotReporting", job="payment")
    assert {"LagMonitorDown", "ServiceNotReporting"} == audible([*firing, other])


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
    assert ["grafana_folder", "severity", "cluster", "team"] == policy["group_by"]


def test_a_cause_in_one_cluster_silences_nothing_in_another() -> None:
    for rule in INHIBITIONS:
        for symptom in rule.symptoms:
            firing = [labels(rule.cause), labels(symptom, cluster="us")]
            assert {rule.cause, symptom} == audible(firing), rule
            assert {rule.cause} == audible([labels(rule.cause), labels(symptom)]), rule


def test_alerts_of_two_selectors_are_two_alerts_and_two_notifications() -> None:
    eu, us = (Config(prefix=name, selector={"cluster": name}) for name in ("eu", "us"))
    for alert in make_alerts(eu):
        assert {"cluster": "eu"}.items() <= labels_of(alert, eu).items()
        assert labels_of(alert, eu) != labels_of(alert, us)
    (route,) = yaml.safe_load(alertmanager_file(eu))["route"]["routes"]
    assert ["alertname", "pipeline", "cluster"] == route["group_by"]


def test_a_label_of_both_kinds_is_named_once() -> None:
    config = Config(selector={"cluster": "eu"}, labels={"cluster": "europe", "team": "shop"})
    for rule in yaml.safe_load(alertmanager_file(config))["inhibit_rules"]:
        assert ["cluster", "team"] == rule["equal"][-2:]
        assert 1 == rule["equal"].count("cluster")
