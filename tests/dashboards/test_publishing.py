"""Publishing: changes are shown and uploaded once, and errors say how to fix them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from dashboards.cli.main import cli
from tests.dashboards.board_documents import BOARDS
from tests.dashboards.fake_grafana import TOKEN, FakeGrafana, fake_grafana

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def grafana() -> Iterator[FakeGrafana]:
    with fake_grafana() as running:
        yield running


def _publish(grafana: FakeGrafana, *options: str, token: str = TOKEN) -> Result:
    return CliRunner().invoke(
        cli, ["publish", "--url", grafana.url, *options], env={"GRAFANA_TOKEN": token}
    )


def test_dashboards_are_created_once_and_then_unchanged(grafana: FakeGrafana) -> None:
    first = _publish(grafana, "--folder", "shop")

    assert (0, len(BOARDS)) == (first.exit_code, len(grafana.dashboards))
    assert len(BOARDS) == first.output.count(": new\n")
    assert ["shop"] == grafana.folders
    assert {"shop"} == {stored["meta"]["folderUid"] for stored in grafana.dashboards.values()}
    grafana.posts.clear()
    second = _publish(grafana, "--folder", "shop")
    assert (0, []) == (second.exit_code, grafana.posts)
    assert len(BOARDS) == second.output.count(": unchanged\n")


def test_a_changed_field_is_shown_and_restored(grafana: FakeGrafana) -> None:
    _publish(grafana)
    grafana.dashboards["pipeline-lag"]["dashboard"]["title"] = "Mine"
    grafana.posts.clear()

    done = _publish(grafana)

    assert '- "title": "Mine",' in done.output
    assert '+ "title": "Pipeline: consumer lag",' in done.output
    assert ["/api/dashboards/db"] == grafana.posts
    assert "Pipeline: consumer lag" == grafana.dashboards["pipeline-lag"]["dashboard"]["title"]


def test_an_added_field_is_shown_and_removed(grafana: FakeGrafana) -> None:
    _publish(grafana)
    held = grafana.dashboards["pipeline-lag"]["dashboard"]
    held["panels"][1]["hideTimeOverride"] = True
    assert len(BOARDS) == _publish(grafana).output.count(": unchanged\n")

    grafana.notes["pipeline-lag"] = ""
    done = _publish(grafana)
    assert '-   "hideTimeOverride": true,' in done.output
    assert '- "version"' not in done.output
    assert "pipeline-lag: changed\n" in done.output
    assert "hideTimeOverride" not in str(grafana.dashboards["pipeline-lag"]["dashboard"])
    assert len(BOARDS) == _publish(grafana).output.count(": unchanged\n")


@pytest.mark.parametrize("history", [None, (200, []), (200, {"versions": [{}]}), (404, {})])
def test_if_grafana_hides_the_history_added_fields_count_as_its_own(
    grafana: FakeGrafana, history: tuple[int, Any] | None
) -> None:
    _publish(grafana)
    grafana.notes.clear()
    if history is not None:
        path = "/api/dashboards/uid/pipeline-lag/versions?limit=1"
        grafana.answers[path] = history
    done = _publish(grafana)
    if history == (200, []):
        assert "does not answer like Grafana" in done.output
    else:
        assert len(BOARDS) == done.output.count(": unchanged\n")


def test_a_dry_run_shows_the_changes_and_makes_none(grafana: FakeGrafana) -> None:
    done = _publish(grafana, "--dry-run", "--folder", "shop")
    assert (0, [], {}) == (done.exit_code, grafana.posts, grafana.dashboards)
    assert len(BOARDS) == done.output.count(": new (dry run)\n")

    _publish(grafana)
    grafana.dashboards["pipeline-lag"]["dashboard"]["title"] = "Mine"
    again = _publish(grafana, "--dry-run")
    assert '- "title": "Mine",' in again.output
    assert "Mine" == grafana.dashboards["pipeline-lag"]["dashboard"]["title"]


def test_without_a_folder_option_dashboards_stay_in_their_folder(grafana: FakeGrafana) -> None:
    _publish(grafana, "--folder", "shop")
    grafana.dashboards["pipeline-lag"]["dashboard"]["title"] = "Mine"
    _publish(grafana)
    assert {"shop"} == {stored["meta"]["folderUid"] for stored in grafana.dashboards.values()}
    moved = _publish(grafana, "--folder", "other")
    assert len(BOARDS) == moved.output.count(": moved\n")
    grafana.dashboards["pipeline-lag"]["dashboard"]["title"] = "Mine"
    both = _publish(grafana, "--folder", "third")
    assert "pipeline-lag: changed and moved\n" in both.output


def test_a_dashboard_outside_folders_stays_outside(grafana: FakeGrafana) -> None:
    _publish(grafana)
    grafana.dashboards["pipeline-lag"]["dashboard"]["title"] = "Mine"
    grafana.dashboards["pipeline-lag"]["meta"]["folderUid"] = None
    _publish(grafana)
    assert "" == grafana.dashboards["pipeline-lag"]["meta"]["folderUid"]


def test_a_number_in_another_form_is_not_a_change(grafana: FakeGrafana) -> None:
    _publish(grafana)
    for held in grafana.dashboards.values():
        held["dashboard"] = json.loads(json.dumps(held["dashboard"]).replace(".0,", ","))
    assert len(BOARDS) == _publish(grafana).output.count(": unchanged\n")


def test_an_added_or_reordered_list_item_is_a_change(grafana: FakeGrafana) -> None:
    _publish(grafana)
    grafana.dashboards["pipeline-lag"]["dashboard"]["panels"].reverse()
    grafana.dashboards["pipeline-overview"]["dashboard"]["panels"].append({"title": "Mine"})
    done = _publish(grafana)
    assert "pipeline-lag: changed\n" in done.output
    assert "pipeline-overview: changed\n" in done.output


@pytest.mark.parametrize(
    ("status", "path", "expected"),
    [
        (403, "", "needs the role Editor"),
        (404, "", "--url must be Grafana's root"),
        (412, "/api/dashboards", "it was changed in the meantime"),
        (412, "/api/folders", "another folder has that name"),
        (409, "/api/folders", "another folder has that name"),
        (500, "/api/dashboards", "Grafana reports an error (500 on /api/dashboards/db: refused)"),
    ],
)
def test_an_error_status_is_reported_with_its_fix(
    grafana: FakeGrafana, status: int, path: str, expected: str
) -> None:
    grafana.refuse_with, grafana.refuse_path = status, path
    done = _publish(grafana, "--folder", "shop")
    assert 1 == done.exit_code
    assert expected in done.output


def test_after_a_failure_the_message_says_how_many_were_done(
    grafana: FakeGrafana,
) -> None:
    grafana.answers["/api/dashboards/uid/pipeline-sagas"] = (500, {"message": "too busy"})
    done = _publish(grafana)
    assert 1 == done.exit_code
    assert 4 == done.output.count(": new\n")
    assert done.output.endswith(f"pipeline-sagas failed after 4 of {len(BOARDS)} dashboards\n")


def test_a_rejected_dashboard_is_named(grafana: FakeGrafana) -> None:
    grafana.refuse_with, grafana.refuse_path = 500, "/api/dashboards"
    done = _publish(grafana)
    assert "Error: pipeline-overview: Grafana reports an error" in done.output
    assert done.output.endswith(f"pipeline-overview failed after 0 of {len(BOARDS)} dashboards\n")


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_a_provisioned_dashboard_is_not_overwritten(
    grafana: FakeGrafana, options: tuple[str, ...]
) -> None:
    _publish(grafana)
    grafana.dashboards["pipeline-lag"]["meta"]["provisioned"] = True
    done = _publish(grafana, *options)
    assert 1 == done.exit_code
    assert "pipeline-lag: it is provisioned from files: change those" in done.output


def test_a_rejected_provisioned_dashboard_is_reported_as_such(grafana: FakeGrafana) -> None:
    grafana.refuse_with, grafana.refuse_path = 400, "/api/dashboards"
    grafana.refuse_message = "Cannot save provisioned dashboard"
    done = _publish(grafana)
    assert "pipeline-overview: it is provisioned from files: change those" in done.output


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/api/health", []),
        ("/api/health", None),
        ("/api/health", {"version": 12, "database": "ok"}),
        ("/api/dashboards/uid/pipeline-overview", []),
        ("/api/dashboards/uid/pipeline-overview", {}),
        ("/api/dashboards/uid/pipeline-overview", {"dashboard": None}),
        ("/api/dashboards/uid/pipeline-overview", {"dashboard": {}, "meta": 1}),
    ],
)
def test_an_answer_of_another_shape_is_not_grafanas(
    grafana: FakeGrafana, path: str, content: object
) -> None:
    grafana.answers[path] = (200, content)
    done = _publish(grafana)
    assert (1, []) == (done.exit_code, grafana.posts)
    assert "does not answer like Grafana" in done.output


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("https://grafana.example/sub{path}", "use --url https://grafana.example/sub\n"),
        ("https://me:secret@grafana.example{path}", "use --url https://grafana.example\n"),
        ("/sub{path}", "/sub\n"),
        (
            "https://sso.example/login?to={path}",
            "--url redirects to https://sso.example/login, maybe",
        ),
    ],
)
def test_a_redirect_names_the_address_to_use(
    grafana: FakeGrafana, status: int, location: str, expected: str
) -> None:
    grafana.redirect_with, grafana.redirect_to = status, location
    done = _publish(grafana)
    assert 1 == done.exit_code
    assert expected in done.output
    assert "use --url /" not in done.output
    assert "secret" not in done.output


@pytest.mark.parametrize("token", ["glsa_wrong", " glsa_wrong\n"])
def test_a_wrong_token_is_rejected_and_never_printed(grafana: FakeGrafana, token: str) -> None:
    done = _publish(grafana, token=token)
    assert 1 == done.exit_code
    assert "set GRAFANA_TOKEN to the token of a service account" in done.output
    assert "glsa_wrong" not in done.output


def test_a_token_that_a_server_repeats_is_not_printed(grafana: FakeGrafana) -> None:
    grafana.refuse_with, grafana.refuse_message = 500, f"no rights for {TOKEN}"
    done = _publish(grafana)
    assert "no rights for …" in done.output
    assert TOKEN not in done.output


def test_a_token_may_end_with_a_newline(grafana: FakeGrafana) -> None:
    assert 0 == _publish(grafana, token=f"{TOKEN}\n").exit_code


@pytest.mark.parametrize("token", ["", " ", "schlüssel", "two words"])
def test_without_a_valid_token_no_request_is_sent(grafana: FakeGrafana, token: str) -> None:
    done = _publish(grafana, token=token)
    assert (2, []) == (done.exit_code, grafana.posts)
    assert "set GRAFANA_TOKEN to the token of a service account" in done.output
    assert not token.strip() or token not in done.output


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("localhost:3000", "--url needs http:// or https://"),
        ("https://", "--url needs http:// or https://"),
        ("http://a..b", "--url is not an address"),
        ("https://me:secret@grafana.example", "--url contains a user or password"),
        ("me:secret@grafana.example", "--url contains a user or password"),
        ("https://me:secret/x@grafana.example", "--url contains a user or password"),
        ("https://me:secret@grafana.example:x", "--url contains a user or password"),
    ],
)
def test_an_invalid_address_is_rejected(url: str, expected: str) -> None:
    done = CliRunner().invoke(cli, ["publish", "--url", url], env={"GRAFANA_TOKEN": TOKEN})
    assert 2 == done.exit_code
    assert expected in done.output
    assert "secret" not in done.output


@pytest.mark.parametrize("folder", ["../dashboards", "a b/c?d", "x" * 41, ""])
def test_a_folder_that_is_not_a_uid_is_rejected(grafana: FakeGrafana, folder: str) -> None:
    done = _publish(grafana, "--folder", folder)
    assert (2, {}) == (done.exit_code, grafana.dashboards)


def test_an_old_grafana_is_rejected(grafana: FakeGrafana) -> None:
    grafana.version = "11.6.1"
    done = _publish(grafana)
    assert (1, {}) == (done.exit_code, grafana.dashboards)
    assert "Grafana 11.6.1 is too old; the dashboards need 12" in done.output


def test_a_grafana_that_hides_its_version_is_accepted(grafana: FakeGrafana) -> None:
    grafana.version = ""
    done = _publish(grafana)
    assert (0, len(BOARDS)) == (done.exit_code, len(grafana.dashboards))
    assert "hides its version" in done.output


def test_an_address_where_nothing_answers_is_one_line() -> None:
    with fake_grafana() as gone:
        pass
    done = _publish(gone)
    assert 1 == done.exit_code
    assert f"Error: Grafana does not answer at {gone.url} (ConnectError" in done.output
