"""Files with orders are private, and the leftovers of a killed run are removed."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from demo_pipeline.__main__ import main
from demo_pipeline.broker import EmbeddedBroker
from demo_pipeline.report.files import write_files
from demo_pipeline.runtime.database import open_database
from demo_pipeline.runtime.private_files import sweep, temp_folder
from demo_pipeline.services import SERVICES
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@contextmanager
def _temporary(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Create temporary folders in `folder`."""
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        yield folder


def _open_to_others(paths: Iterable[Path]) -> dict[str, str]:
    return {
        str(path): oct(mode)
        for path in paths
        if (mode := stat.S_IMODE(path.lstat().st_mode)) & 0o077
    }


def _in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def _left(folder: Path, kind: str = "broker") -> Path:
    """Create a folder as a killed process leaves it."""
    left = folder / f"pipeline-demo-{kind}-abc"
    (left / "data").mkdir(parents=True)
    (left / "data" / "00.log").touch()
    (left / ".in-use").touch()
    return left


async def test_only_the_owner_can_read_a_database_and_the_files_beside_it(
    tmp_path: Path,
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/orders.sqlite3"
    async with open_database(SERVICES["orders"], url) as database:
        async with database.begin() as connection:
            await connection.execute(text("CREATE TABLE t (n INTEGER)"))
        files = _in(tmp_path)
        assert {"orders.sqlite3", "orders.sqlite3-wal", "orders.sqlite3-shm"} == {
            file.name for file in files
        }
        assert {} == _open_to_others(files)


def test_only_the_owner_can_read_a_report_and_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    write_files(folder, {"report.html": ("x",), "traces.jsonl": ("x",)})
    (folder / "report.html").chmod(0o644)
    write_files(folder, {"report.html": ("x",)})
    assert {} == _open_to_others([folder, *folder.iterdir()])


def test_the_partial_report_of_a_killed_process_is_removed_by_the_next_one(
    tmp_path: Path,
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    alive = tmp_path / f".report.html.{os.getppid()}.partial"
    for half in (tmp_path / f".report.html.{gone.pid}.partial", alive):
        half.touch()
    write_files(tmp_path, {"report.html": ("x",)})
    assert {"report.html", alive.name} == {file.name for file in tmp_path.iterdir()}


def test_a_partial_file_of_a_process_with_the_same_id_is_replaced_and_a_link_not_followed(
    tmp_path: Path,
) -> None:
    folder, other = tmp_path / "report", tmp_path / "other"
    folder.mkdir(mode=0o700)
    other.write_text("another user's")
    half = folder / f".report.html.{os.getpid()}.partial"
    half.touch(0o666)
    (folder / f".traces.jsonl.{os.getpid()}.partial").symlink_to(other)
    write_files(folder, {"report.html": ("x",), "traces.jsonl": ("x",)})
    assert {} == _open_to_others(folder.iterdir())
    assert "another user's" == other.read_text()


@pytest.mark.integration
def test_only_the_owner_can_read_the_files_of_a_run(tmp_path: Path) -> None:
    report, databases = tmp_path / "new" / "report", tmp_path / "new" / "databases"
    where = ["--report", str(report), "--databases", str(databases)]
    assert 0 == main(["run", "--orders", "1", *where])
    assert {} == _open_to_others((tmp_path / "new").rglob("*"))
    assert {} == _open_to_others([tmp_path / "new"])


@pytest.mark.integration
async def test_only_the_owner_can_read_the_brokers_folder_which_is_removed_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _temporary(tmp_path, monkeypatch):
        async with EmbeddedBroker():
            (folder,) = _in(tmp_path)
            assert {} == _open_to_others([folder, *folder.rglob("*")])
    assert [] == _in(tmp_path)


def test_the_folder_of_a_killed_process_is_removed_when_the_next_one_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = _left(tmp_path)
    with _temporary(tmp_path, monkeypatch), temp_folder("databases") as folder:
        assert not left.exists()
        assert [folder] == _in(tmp_path)
    assert [] == _in(tmp_path)


def test_a_folder_that_cannot_be_removed_yet_is_removed_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(path: Path, *, ignore_errors: bool) -> None:
        (path / ".in-use").unlink()

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", half)
        with temp_folder("kafka", tmp_path) as folder:
            (folder / "00.log").touch()
    assert [folder] == _in(tmp_path)
    sweep(tmp_path)
    assert [] == _in(tmp_path)


def test_the_folder_of_a_living_process_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from demo_pipeline.runtime.private_files import temp_folder\n"
        "with temp_folder('databases', Path(sys.argv[1])) as folder:\n"
        "    print(folder, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert other.stdout is not None
    theirs = Path(other.stdout.readline().strip())
    with _temporary(tmp_path, monkeypatch), temp_folder("databases") as own:
        sweep(tmp_path)
        assert {own, theirs} == set(tmp_path.iterdir())
    other.kill()
    other.communicate()
    sweep(tmp_path)
    assert [] == _in(tmp_path)


def test_folders_without_our_lock_file_stay(tmp_path: Path) -> None:
    elsewhere = _left(tmp_path / "elsewhere")
    where = tmp_path / "tmp"
    where.mkdir()
    (where / "pipeline-demo-broker-link").symlink_to(elsewhere)
    (where / "pipeline-demo-broker-file").touch()
    without_lock = where / "pipeline-demo-broker-without"
    without_lock.mkdir()
    lock_elsewhere = where / "pipeline-demo-broker-lock"
    lock_elsewhere.mkdir()
    (lock_elsewhere / ".in-use").symlink_to(elsewhere / ".in-use")
    (where / "kafka-logs").mkdir()
    (where / "kafka-logs" / ".in-use").touch()
    before = set(tmp_path.rglob("*"))
    sweep(where)
    assert before == set(tmp_path.rglob("*"))


def test_links_in_a_folder_that_is_removed_are_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    where = tmp_path / "tmp"
    where.mkdir()
    left = _left(where)
    (left / "link").symlink_to(precious)
    sweep(where)
    assert not left.exists()
    assert [precious / "file"] == list(precious.iterdir())


def test_the_folders_of_other_users_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = _left(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    sweep(tmp_path)
    assert left.exists()


def test_only_the_operating_system_releases_a_lock(tmp_path: Path) -> None:
    left = _left(tmp_path)
    with (left / ".in-use").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sweep(tmp_path)
        assert left.exists()
    sweep(tmp_path)
    assert not left.exists()


@pytest.mark.integration
async def test_a_killed_run_is_tidied_up_by_the_next_one(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "demo_pipeline", "run", "--rate", "5", "--orders"]
    process = await asyncio.create_subprocess_exec(
        *command, "1000", env=environment, cwd=ROOT, stdout=subprocess.DEVNULL
    )
    try:
        assert await eventually(lambda: len(_in(tmp_path)) == 2, timeout_s=60)
    finally:
        process.kill()
        await process.wait()
    assert 2 == len(_in(tmp_path))
    next_run = await asyncio.create_subprocess_exec(
        *command, "1", env=environment, cwd=ROOT, stdout=subprocess.DEVNULL
    )
    assert 0 == await next_run.wait()
    assert [] == _in(tmp_path)
