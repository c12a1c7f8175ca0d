"""Scenarios are described with panels that exist."""

from __future__ import annotations

import pytest

from dashboards.boards.all_boards import make_boards
from dashboards.config import Config
from dashboards.model.board import SignalPanel
from demo_pipeline.runtime.scenarios import SCENARIOS

TITLES = {
    signal.title
    for board in make_boards(Config())
    for _, panel in board.numbered()
    if isinstance(panel, SignalPanel)
    for signal in panel.signals
}


@pytest.mark.parametrize("name", ["notification", "burst", "late-joiner"])
def test_the_panels_that_tell_a_story_are_named_and_exist(name: str) -> None:
    scenario = SCENARIOS[name]

    assert scenario.panels
    assert set() == set(scenario.panels) - TITLES
    assert scenario.described.startswith(scenario.story)
    assert scenario.panels[-1] in scenario.described


def test_a_scenario_without_panels_is_described_by_its_story() -> None:
    assert SCENARIOS["steady"].story == SCENARIOS["steady"].described
