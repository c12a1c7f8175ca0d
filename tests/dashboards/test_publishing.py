"""Publishing: what changes is shown and brought over, once; what goes wrong is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from dashboards.cli import cli
from tests.dashboards.fake_grafana import TOKEN, FakeGrafana, fake_grafana

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def grafana() -> Iterator[FakeGrafana]:
    with fake_grafana() as found:
        yield found


def _publish(grafana: FakeGrafana, *options: str, token: str = TOKEN) -> Result:
    return CliRunner().invoke(
        cli, ["publish", "--url", grafana.url, *options], env={"GRAFANA_TOKEN": token}
    )


def test_dashboards_are_made_and_a_second_time_left_alone(grafana: FakeGrafana) -> None:
    first = _publish(grafana, "--folder", "shop")

    assert (0, 8) == (first.exit_code, len(grafana.dashboards))
    assert 8 == first.output.count(": new\n")
    assert ["shop"] == grafana.folders
    assert {"shop"} == {found["meta"]["folderUid"] for found in grafana.dashboards.values()}
    grafana.posts.clear()
    second = _publish(grafana, "--folder", "shop")
    assert (0, []) == (second.exit_code, grafana.posts)
    assert 8 == second.output.count(": unchanged\n")


def test_what_somebody_changed_is_shown_and_put_right(grafana: FakeGrafana) -> None:
    _publish(grafana)
    grafana.dashboards["pipeline-lag"]["dashboard"]["title"] = "Mine"
    grafana.posts.clear()

    done = _publish(grafana)

    assert '- "title": "Mine",' in done.output
    assert '+ "title": "Pipeline: consumer lag",' in done.output
    assert ["/api/dashboards/db"] == grafana.posts
    assert "Pipeline: consumer lag" == grafana.dashboards["pipeline-lag"]["dashboard"]["title"]


def test_a_dry_run_shows_all_and_changes_nothing(grafana: FakeGrafana) -> None:
    done = _publish(grafana, "--dry-run", "--folder", "shop")
    assert (0, [], {}) == (done.exit_code, grafana.posts, grafana.dashboards)
    assert 8 == done.output.count(": new (dry run)\n")

    _publish(grafana)
    grafana.dashboards["pipeline-lag"]["dashboard"]["title"] = "Mine"
    again = _publish(grafana, "--dry-run")
    assert '- "title": "Mine",' in again.output
    assert "Mine" == grafana.dashboards["pipeline-lag"]["dashboard"]["title"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (403, "needs the role Editor"),
        (404, "is --url its root"),
        (412, "somebody else changed the dashboard, or it is provisioned"),
        (500, "Grafana refuses (500 on /api/dashboards/db: refused)"),
    ],
)
def test_a_refusal_says_what_mends_it(grafana: FakeGrafana, status: int, expected: str) -> None:
    grafana.refuse_with = status
    done = _publish(grafana)
    assert 1 == done.exit_code
    assert expected in done.output


def test_a_wrong_token_is_refused_and_never_printed(grafana: FakeGrafana) -> None:
    done = _publish(grafana, token="glsa_wrong")  # noqa: S106 - wrong on purpose
    assert 1 == done.exit_code
    assert "put one of a service account into GRAFANA_TOKEN" in done.output
    assert "glsa_wrong" not in done.output


def test_without_a_token_nothing_is_asked(grafana: FakeGrafana) -> None:
    done = _publish(grafana, token="")
    assert 2 == done.exit_code
    assert "GRAFANA_TOKEN" in done.output


@pytest.mark.parametrize(
    ("version", "expected"),
    [("11.6.1", "this is Grafana 11.6.1; the dashboards need 12"), ("", "does not answer as")],
)
def test_an_old_grafana_is_told_so(grafana: FakeGrafana, version: str, expected: str) -> None:
    grafana.version = version
    done = _publish(grafana)
    assert (1, {}) == (done.exit_code, grafana.dashboards)
    assert expected in done.output


def test_nobody_at_the_address_is_said_in_one_line() -> None:
    with fake_grafana() as gone:
        pass
    done = _publish(gone)
    assert 1 == done.exit_code
    assert f"Error: Grafana does not answer at {gone.url} (ConnectError)\n" == done.output
