"""Prometheus and promtool, built once from the source on the Go module proxy."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

VERSION: Final = "v0.316.0"
"""The version of the Go module; it is Prometheus 3.16."""
HOW_TO_GET_IT: Final = "Prometheus is built with Go 1.25 or newer, which is not on this machine"
_MODULE: Final = "github.com/prometheus/prometheus"
_CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
_FOLDER: Final = _CACHE / "pipeline-tracing" / f"prometheus-{VERSION}"
_BINARIES: Final = ("prometheus", "promtool")


def prometheus_folder() -> Path | None:
    """Return the folder with both, and build them if they are missing; `None` without Go.

    The build takes minutes. It leaves out service discovery in clouds, which is most of the code.
    """
    if _is_built():
        return _FOLDER
    go = shutil.which("go")
    if go is None:
        return None
    _FOLDER.parent.mkdir(parents=True, exist_ok=True)
    with (_FOLDER.parent / "prometheus.lock").open("w") as lock:
        # Several test processes start at once, and two builds take twice as long as one.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_built():
            _build(go)
    return _FOLDER


def _is_built() -> bool:
    return all((_FOLDER / name).is_file() for name in _BINARIES)


def _build(go: str) -> None:
    with tempfile.TemporaryDirectory(prefix="prometheus-") as scratch:
        source = Path(scratch) / "source"
        listing = _run([go, "mod", "download", "-json", f"{_MODULE}@{VERSION}"], Path(scratch))
        shutil.copytree(json.loads(listing)["Dir"], source, copy_function=_writable)
        for folder in source.rglob("*"):
            if folder.is_dir():
                folder.chmod(0o755)
        built = Path(scratch) / "built"
        for name in _BINARIES:
            _run(
                [go, "build", "-tags", "remove_all_sd", "-o", str(built / name), f"./cmd/{name}"],
                source,
            )
        # In one step: other processes may look for the files at any moment.
        whole = _FOLDER.with_suffix(".new")
        shutil.rmtree(whole, ignore_errors=True)
        shutil.copytree(built, whole)
        shutil.rmtree(_FOLDER, ignore_errors=True)
        whole.rename(_FOLDER)


def _run(command: list[str], folder: Path) -> str:
    # The workspace file names modules that the proxy does not have.
    environment = {**os.environ, "GOWORK": "off", "GOFLAGS": "-mod=mod"}
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=folder, env=environment
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def _writable(source: str, target: str) -> str:
    shutil.copyfile(source, target)
    return target
