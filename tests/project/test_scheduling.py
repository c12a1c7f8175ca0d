"""How the tests are divided among several processes."""

from __future__ import annotations

from tests.scheduling import scope_of


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


def test_tests_of_the_registry_share_one_scope() -> None:
    folder = "tests/demo_pipeline/registry/"

    assert scope_of(f"{folder}test_gate.py::test_a") == scope_of(
        f"{folder}test_rules.py::test_b[x]"
    )
