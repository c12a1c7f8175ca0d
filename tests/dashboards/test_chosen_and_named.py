"""Panels show the sagas that are chosen, and tell lines and numbers apart."""

from __future__ import annotations

import pytest

from dashboards.boards.saga_health import saga_health_board
from dashboards.config import Config
from dashboards.model.labels import PIPELINE
from dashboards.model.promql import Scope
from dashboards.model.signal import Signal
from dashboards.signals import dead_letters, hop_time
from tests.dashboards.board_documents import promql

SCOPE = Scope.of(Config(), window="10m")


def test_saga_health_shows_the_chosen_pipelines_only() -> None:
    queries = [query for query in promql(saga_health_board()) if "pipeline_saga_" in query]

    assert queries
    assert [] == [query for query in queries if f'{PIPELINE}=~"$pipeline"' not in query]


@pytest.mark.parametrize("signal", [hop_time.PUBLISH, hop_time.WAIT, hop_time.RETRY])
def test_lines_of_pipelines_that_share_a_hop_have_two_names(signal: Signal) -> None:
    assert signal.expr(SCOPE).startswith(f"sum by ({PIPELINE}, ")
    assert f"{{{{{PIPELINE}}}}}" in signal.legend


def test_a_mean_number_of_attempts_is_not_rounded() -> None:
    # Of counts, panels show no decimals.
    assert "locale" != dead_letters.ATTEMPTS.unit
