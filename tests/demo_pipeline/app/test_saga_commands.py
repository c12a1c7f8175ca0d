from __future__ import annotations

import asyncio
import json
import sys
from contextlib import chdir
from io import BytesIO, TextIOWrapper
from typing import TYPE_CHECKING, Any

import pytest

from demo_pipeline.__main__ import main
from demo_pipeline.app.options import print_json
from demo_pipeline.runtime.database import open_database
from demo_pipeline.services import SERVICES
from tracing import SagaContext
from tracing.sql import SqlSagas

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TRACE = "0af7651916cd43dd8448eb211c80319c"
# In 2023, so that every active saga is overdue.
NOW_NS = 1_700_000_000_000_000_000


async def _fill(folder: Path) -> None:
    service = SERVICES["orchestrator"]
    sagas = SqlSagas(metadata=service.tables)
    url = f"sqlite+aiosqlite:///{folder / 'orchestrator.sqlite3'}"
    headers = (("traceparent", f"00-{TRACE}-b7ad6b7169203331-01"),)
    async with open_database(service, url) as database, database.begin() as connection:
        for number, order_id in enumerate(("done", "stuck", "declined")):
            started_ns = NOW_NS + number * 1_000_000_000
            await sagas.start(
                connection,
                "place-order",
                SagaContext(order_id, started_ns, headers),
                state="charge-card",
                deadline_ns=started_ns + 10_000_000_000,
            )
            await sagas.begin_step(
                connection,
                "place-order",
                order_id,
                "charge-card",
                started_ns=started_ns,
                attempts=2,
            )
        ended_ns = NOW_NS + 4_250_000_000
        await sagas.end_step(
            connection, "place-order", "declined", "charge-card", outcome="rejected",
            ended_ns=ended_ns,
        )  # fmt: skip
        for order_id, outcome in (("done", "completed"), ("declined", "compensated")):
            await sagas.end(
                connection, "place-order", order_id, outcome,  # type: ignore[arg-type]  # literals
                reason=None if order_id == "done" else "card declined", ended_ns=ended_ns,
            )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    asyncio.run(_fill(tmp_path))
    with chdir(tmp_path):
        yield tmp_path


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_json_is_utf_8_whatever_the_terminal_can_show(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = BytesIO()
    # The programs set this error handler, so that tables escape what cannot be shown.
    terminal = TextIOWrapper(printed, encoding=encoding, errors="backslashreplace")
    monkeypatch.setattr(sys, "stdout", terminal)

    print_json({"reason": "zu groß"})

    assert {"reason": "zu groß"} == json.loads(printed.getvalue().decode())


@pytest.mark.usefixtures("folder")
def test_an_unknown_state_is_refused_with_the_list_of_known_states(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert 2 == main(["saga", "list", "--state", "complete"])
    assert "'charge-card'" in capsys.readouterr().err


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert 0 == main(["saga", *arguments, "--json"])
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["declined", "stuck", "done"]),
        (["--overdue"], ["stuck"]),
        (["--active"], ["stuck"]),
        (["--state", "completed", "--state", "compensated"], ["declined", "done"]),
        (["--limit", "1"], ["declined"]),
        (["--state", "failed"], []),
    ],
)
def test_sagas_are_listed_the_latest_first(
    arguments: list[str], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    sagas = _json(capsys, "list", *arguments)

    assert expected == [saga["saga_id"] for saga in sagas]


@pytest.mark.usefixtures("folder")
def test_behind_a_pipe_a_saga_is_one_line_however_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    assert 0 == main(["saga", "list"])

    _, _, *rows = capsys.readouterr().out.splitlines()
    assert ["declined", "stuck", "done"] == [row.split()[0] for row in rows]
    assert rows[0].rstrip().endswith("card declined")
    assert all(len(row) < 200 for row in rows)


@pytest.mark.usefixtures("folder")
def test_one_saga_is_shown_with_steps_times_commands_and_trace(
    capsys: pytest.CaptureFixture[str],
) -> None:
    saga = _json(capsys, "show", "declined")

    assert {
        "saga": "place-order",
        "saga_id": "declined",
        "state": "compensated",
        "reason": "card declined",
        "overdue": False,
        "started": "2023-11-14T22:13:22.000Z",
        "deadline": "2023-11-14T22:13:32.000Z",
        "ended": "2023-11-14T22:13:24.250Z",
        "age_s": 2.25,
        "trace_id": TRACE,
        "to_undo": [],
        "steps": [
            {
                "step": "charge-card",
                "command": "ChargeCard",
                "attempts": 2,
                "compensation": False,
                "outcome": "rejected",
                "started": "2023-11-14T22:13:22.000Z",
                "ended": "2023-11-14T22:13:24.250Z",
                "took_s": 2.25,
            }
        ],
    } == saga


@pytest.mark.usefixtures("folder")
def test_without_json_the_output_is_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["saga", "list"])
    listed = capsys.readouterr().out
    assert 0 == main(["saga", "show", "stuck"])
    shown = capsys.readouterr().out

    assert ["declined", "stuck", "done"] == [line.split()[0] for line in listed.splitlines()[2:]]
    assert "overdue" in listed.splitlines()[3]
    assert shown.startswith("place-order stuck · charge-card · overdue\n")
    assert f"trace {TRACE}" in shown
    assert "ChargeCard, 2 times" in shown
    assert "in progress" in shown


@pytest.mark.usefixtures("folder")
def test_an_unknown_saga_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == main(["saga", "show", "unknown"])
    assert "there is no saga unknown" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["list"], ["show", "x"], ["list", "--observed"]])
def test_a_missing_database_is_explained_and_not_created(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with chdir(tmp_path):
        assert 2 == main(["saga", *arguments])
    assert "DATABASE_URL" in capsys.readouterr().err
    assert [] == list(tmp_path.iterdir())


def test_a_file_that_is_no_database_is_a_readable_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "orchestrator.sqlite3").write_text("not a database, and longer than its header")
    with chdir(tmp_path):
        assert 1 == main(["saga", "list"])
    assert "cannot read the database of orchestrator (DatabaseError)" in capsys.readouterr().err
