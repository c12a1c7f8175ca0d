"""Java programs from Maven: downloaded once, kept in the user's cache folder."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from demo_pipeline.runtime.errors import BrokerError
from demo_pipeline.runtime.private_files import temp_folder

_JAVA: Final = 17
_INSTALL: Final = (
    "for example: apt-get install openjdk-17-jre-headless maven, or brew install openjdk@17 maven"
)
_POM: Final = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>pipeline-tracing</groupId>
  <artifactId>program</artifactId>
  <version>1</version>
  <dependencies>{dependencies}</dependencies>
</project>
"""
_ARCHIVE: Final = ".tar.gz"


@dataclass(frozen=True, slots=True)
class JavaProgram:
    """A program that Maven can download.

    Attributes:
        name: What people call it.
        version: Its version.
        folder: The name of its folder in the cache.
        dependencies: The `<dependency>` elements of a POM. Archives (`tar.gz`) are unpacked.
        file: A pattern of a file that is there once the program is complete.
    """

    name: str
    version: str
    folder: str
    dependencies: str
    file: str

    @property
    def cached(self) -> Path:
        """The program's folder in the cache, which may not exist yet."""
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Path(cache) / "pipeline-tracing" / self.folder

    def missing_tools(self) -> str | None:
        """Return which tools are missing to run it, and how to get them; `None` if none is."""
        missing = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
        if "mvn" in missing and self.cached.is_dir():
            missing.remove("mvn")
        if not missing:
            return None
        absent = " and ".join(missing)
        return f"{self.name} needs Java {_JAVA} and Maven; missing: {absent}; {_INSTALL}"

    async def download(self) -> Path:
        """Return the program's folder, after downloading it the first time.

        Maven's own settings, such as mirrors, apply. Two processes may do this at the same time.

        Raises:
            BrokerError: Java or Maven is missing or too old, or Maven cannot get the files.
        """
        missing = self.missing_tools()
        if missing is not None:
            raise BrokerError(missing)
        await self._check_java()
        folder = self.cached
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with temp_folder("jars", folder.parent) as work:
                files = await self._resolve(work)
                # The first process wins; the other one has the same files.
                with contextlib.suppress(OSError):
                    files.rename(folder)
        return folder

    async def _resolve(self, work: Path) -> Path:
        (work / "pom.xml").write_text(_POM.format(dependencies=self.dependencies))
        files = work / "files"
        status, output = await _run(
            "mvn", "--batch-mode", "--quiet", "--file", str(work / "pom.xml"),
            "dependency:copy-dependencies", f"-DoutputDirectory={files}", "-DincludeScope=runtime",
        )  # fmt: skip
        if not status:
            await asyncio.to_thread(_unpack, files)
        if status or not any(files.glob(self.file)):
            errors = [line for line in output.splitlines() if "ERROR" in line]
            reason = errors[0] if errors else output[-400:].strip()
            raise BrokerError(
                f"Maven cannot download {self.name} {self.version}: is the machine online, and are "
                f"Maven's settings right? Its output: {reason}"
            )
        return files

    async def _check_java(self) -> None:
        _, output = await _run("java", "-version")
        match = re.search(r'version "(\d+)', output)
        if match is None or int(match[1]) < _JAVA:
            version = match[1] if match else "unknown"
            raise BrokerError(
                f"{self.name} needs Java {_JAVA}, but this is Java {version}: {_INSTALL}"
            )


def _unpack(folder: Path) -> None:
    for archive in folder.glob(f"*{_ARCHIVE}"):
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        archive.unlink()


async def _run(*command: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    return process.returncode or 0, output.decode(errors="replace")
