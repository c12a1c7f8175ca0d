"""Programs from Maven: downloaded once, unpacked, and clear errors where that is impossible."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest

from demo_pipeline.broker.apicurio import APICURIO, ApicurioRegistry
from demo_pipeline.broker.maven import JavaProgram
from demo_pipeline.runtime.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Install = Callable[[str, str], None]

PROGRAM = JavaProgram(
    name="Wonder", version="1", folder="wonder-1", dependencies="<!-- wonder -->", file="*.jar"
)
JAVA_17 = "print('openjdk version \"17.0.1\"')"
# Copies a jar and an archive with another one.
MAVEN = """
import io, pathlib, sys, tarfile
assert '<!-- wonder -->' in pathlib.Path(sys.argv[4]).read_text()
folder = pathlib.Path(sys.argv[6].partition('=')[2])
folder.mkdir()
with tarfile.open(folder / 'all.tar.gz', 'w:gz') as tar:
    tar.addfile(tarfile.TarInfo('lib/wonder.jar'), io.BytesIO())
(folder / 'start.jar').touch()
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put programs on the PATH, which has no others, and use an empty cache."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def add(name: str, program: str) -> None:
        file = folder / name
        file.write_text(f"#!{sys.executable}\n{program}\n")
        file.chmod(0o700)

    return add


async def test_a_program_is_downloaded_once_and_unpacked(install: Install, tmp_path: Path) -> None:
    install("java", JAVA_17)
    install("mvn", MAVEN)

    folders = await asyncio.gather(PROGRAM.download(), PROGRAM.download())

    assert {tmp_path / "cache" / "pipeline-tracing" / "wonder-1"} == set(folders)
    files = {str(file.relative_to(folders[0])) for file in folders[0].rglob("*.*")}
    assert {"start.jar", "lib/wonder.jar"} == files
    install("mvn", "raise SystemExit(1)")
    assert folders[0] == await PROGRAM.download()


@pytest.mark.parametrize(
    ("java", "maven", "reason"),
    [
        (None, None, "Wonder needs Java 17 and Maven; missing: java and mvn; for example: apt-get"),
        (JAVA_17, None, "missing: mvn;"),
        ("print('openjdk version \"11.0.1\"')", MAVEN, "needs Java 17, but this is Java 11"),
        (JAVA_17, "print('[ERROR] offline'); raise SystemExit(1)", "Its output: .ERROR. offline"),
        (JAVA_17, "", "Maven cannot download Wonder 1: is the machine online"),
    ],
    ids=["no-tools", "no-maven", "old-java", "offline", "nothing-copied"],
)
async def test_a_download_that_is_impossible_says_why(
    install: Install, java: str | None, maven: str | None, reason: str
) -> None:
    for name, program in (("java", java), ("mvn", maven)):
        if program is not None:
            install(name, program)

    with pytest.raises(BrokerError, match=reason):
        await PROGRAM.download()
    assert not PROGRAM.cached.exists()


async def test_a_registry_that_ends_at_once_is_an_error_with_its_log(
    install: Install,
) -> None:
    install("java", "print('openjdk version \"17.0.1\"\\nno room'); raise SystemExit(3)")
    APICURIO.cached.mkdir(parents=True)
    (APICURIO.cached / f"apicurio-registry-app-{APICURIO.version}-runner.jar").touch()

    with pytest.raises(
        BrokerError, match=r"Apicurio Registry ended at once; its log: (?s:.*)no room"
    ):
        async with ApicurioRegistry():
            pass
