"""The generated dashboards fit the types of Grafana 12 and 13."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from tests.brokers import unavailable
from tests.dashboards.board_documents import BOARDS, document
from tests.dashboards.typescript import type_errors
from tests.npm_packages import HOW_TO_GET_NPM

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

VERSIONS = (12, 13)


def _broken() -> dict[str, dict[str, Any]]:
    """Return dashboards with one mistake each."""
    name, value, option = (document(BOARDS[0]) for _ in range(3))
    name["refreshes"] = "30s"
    for panel in value["panels"]:
        if panel["type"] == "timeseries":
            panel["fieldConfig"]["defaults"]["custom"]["drawStyle"] = "bar"
    for panel in option["panels"]:
        if panel["type"] == "stat":
            panel["options"]["colour"] = "value"
    return {"broken-name": name, "broken-value": value, "broken-option": option}


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    if shutil.which("npm") is None:
        unavailable(HOW_TO_GET_NPM)
    dashboards = {board.name: document(board) for board in BOARDS} | _broken()
    return type_errors(
        {(name, version): each for name, each in dashboards.items() for version in VERSIONS},
        tmp_path_factory.mktemp("types"),
    )


def test_every_dashboard_fits_grafanas_types(errors: list[str]) -> None:
    assert [] == [error for error in errors if not error.startswith("broken-")]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("broken", "mistake"), [("name", "refreshes"), ("value", '"bar"'), ("option", "colour")]
)
def test_a_mistake_is_found(broken: str, mistake: str, version: int, errors: list[str]) -> None:
    found = [error for error in errors if error.startswith(f"broken-{broken}-{version}.ts")]
    assert found
    assert all(mistake in error for error in found)
