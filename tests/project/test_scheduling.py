"""How the tests are divided among several processes."""

from __future__ import annotations

from tests.scheduling import scope_of, utf8


def test_a_report_with_lone_surrogates_can_be_sent() -> None:
    report = {"sections": [("Captured log", "a\ud800b")], "outcome": "passed", "duration": 0.5}

    assert {
        "sections": [("Captured log", "a\\ud800b")],
        "outcome": "passed",
        "duration": 0.5,
    } == utf8(report)


def test_load_tests_share_one_scope_and_every_other_file_has_its_own() -> None:
    scopes = [
        scope_of(f"tests/{test}")
        for test in (
            "chaos/test_chaos.py::test_a[embedded]",
            "dashboards/test_on_prometheus.py::test_b",
            "tracing/sql/test_relay.py::test_c",
            "tracing/sql/test_relay.py::test_d[::x]",
        )
    ]

    assert [
        "load",
        "load",
        "tests/tracing/sql/test_relay.py",
        "tests/tracing/sql/test_relay.py",
    ] == scopes
