"""Programs written in Go, built once from the source on the Go module proxy."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


@dataclass(frozen=True, slots=True, kw_only=True)
class GoProgram:
    """Commands of one Go module.

    Attributes:
        name: The name of the program, for its folder.
        module: The module.
        version: The module's version.
        commands: The commands to build, each a folder below `cmd`.
        tags: Build tags that leave out what no test needs.
        embedded: Folders whose files are embedded and which the module does not contain, such as a
            built user interface; each gets an empty page instead.
    """

    name: str
    module: str
    version: str
    commands: tuple[str, ...]
    tags: str = ""
    embedded: tuple[str, ...] = ()

    def built(self) -> Path | None:
        """Return the folder with the commands, and build what is missing; `None` without Go."""
        folder = _CACHE / "pipeline-tracing" / f"{self.name}-{self.version}"
        if self._is_in(folder):
            return folder
        go = shutil.which("go")
        if go is None:
            return None
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f"{self.name}.lock").open("w") as lock:
            # Several test processes start at once, and two builds take twice as long as one.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self._is_in(folder):
                self._build(go, folder)
        return folder

    def _is_in(self, folder: Path) -> bool:
        return all((folder / command).is_file() for command in self.commands)

    def _build(self, go: str, folder: Path) -> None:
        with tempfile.TemporaryDirectory(prefix=f"{self.name}-") as scratch:
            source = Path(scratch) / "source"
            module = f"{self.module}@{self.version}"
            listing = _run([go, "mod", "download", "-json", module], Path(scratch))
            shutil.copytree(json.loads(listing)["Dir"], source, copy_function=_writable)
            for each in source.rglob("*"):
                if each.is_dir():
                    each.chmod(0o755)
            for missing in self.embedded:
                (source / missing).mkdir(parents=True)
                (source / missing / "index.html").touch()
            built = Path(scratch) / "built"
            for command in self.commands:
                output = str(built / command)
                build = [go, "build", "-tags", self.tags, "-o", output, f"./cmd/{command}"]
                _run(build, source)
            # In one step: other processes may look for the files at any moment.
            whole = folder.with_suffix(".new")
            shutil.rmtree(whole, ignore_errors=True)
            shutil.copytree(built, whole)
            shutil.rmtree(folder, ignore_errors=True)
            whole.rename(folder)


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
