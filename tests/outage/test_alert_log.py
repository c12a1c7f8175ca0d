from __future__ import annotations

from typing import Any

from tests.outage.alert_log import AlertLog


def _listed(name: str, state: str, **labels: str) -> dict[str, Any]:
    return {
        "labels": {"alertname": name, "severity": "critical", **labels},
        "annotations": {"summary": f"{name}!"},
        "state": state,
    }


def test_an_alert_is_followed_from_pending_to_resolved() -> None:
    log = AlertLog()

    log.take(5, [_listed("A", "pending", group="g")])
    log.take(10, [_listed("A", "firing", group="g"), _listed("B", "pending")])
    log.take(15, [_listed("A", "firing", group="g")])
    log.take(20, [])

    first, second = log.alerts
    assert ("A", "group=g", "A!") == (first.name, first.about, first.text)
    assert (5, 10, 20) == (first.pending_s, first.fired_s, first.resolved_s)
    assert (10, None, 15) == (second.pending_s, second.fired_s, second.resolved_s)


def test_an_alert_that_comes_back_is_a_second_one() -> None:
    log = AlertLog()

    for second, seen in enumerate(([_listed("A", "firing")], [], [_listed("A", "firing")])):
        log.take(second, seen)

    assert [0, 2] == [alert.fired_s for alert in log.fired()]
    assert [2] == [alert.fired_s for alert in log.fired(start_s=1)]
    assert [0] == [alert.fired_s for alert in log.fired(end_s=1)]


def test_the_line_of_an_alert_has_times_since_a_chapter_began() -> None:
    log = AlertLog()
    for second, seen in ((70, [_listed("A", "firing")]), (85, [])):
        log.take(second, seen)

    assert "  A                              fired at   10 s, resolved at 25 s: A!" == (
        log.alerts[0].line(since_s=60)
    )
