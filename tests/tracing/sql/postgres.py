"""A PostgreSQL server for tests: in a temporary folder, on a free loopback port."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_START_S = 60.0
_STOP_S = 30.0

HOW_TO_GET_IT = (
    "PostgreSQL is not installed: apt-get install postgresql, or brew install postgresql, "
    "or put its `initdb` and `postgres` on the PATH"
)


def binaries() -> Path | None:
    """Return the folder with `initdb` and `postgres`; `None` if they are not installed."""
    on_path = shutil.which("postgres")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Run a server; yield the URL of its database for SQLAlchemy.

    Args:
        folder: The folder with its programs.
    """
    # Not in pytest's folder, which another user may not read.
    with tempfile.TemporaryDirectory(prefix="postgres-") as root:
        data = Path(root) / "data"
        user = _unprivileged()
        if user is not None:
            os.chown(root, pwd.getpwnam(user).pw_uid, -1)
        options = ["-D", str(data), "-U", "test", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(
            [folder / "initdb", *options, "--locale=C"],
            check=True,
            capture_output=True,
            user=user,
            cwd=root,
        )
        port = _free_port()
        command = [str(folder / "postgres"), "-D", str(data), "-p", str(port), "-k", ""]
        for setting in ("listen_addresses=127.0.0.1", "fsync=off", "max_connections=50"):
            command += ["-c", setting]
        with (Path(root) / "log").open("wb") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log, user=user, cwd=root)
        try:
            _wait_until_ready(server, port, Path(root) / "log")
            yield f"postgresql+asyncpg://test@127.0.0.1:{port}/postgres"
        finally:
            # Fast shutdown: does not wait for clients.
            server.send_signal(signal.SIGINT)
            try:
                server.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _unprivileged() -> str | None:
    """Return the user to run as if we are root, which PostgreSQL refuses."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _START_S
    while b"ready to accept connections" not in log.read_bytes():
        if server.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"PostgreSQL did not start: {log.read_text(errors='replace')}")
        # Only the log shows that the server is ready, and a fixture has no loop to wait in.
        time.sleep(0.05)
    socket.create_connection(("127.0.0.1", port), timeout=_START_S).close()
