"""Apache Kafka's jars: downloaded once with Maven, kept in the user's cache folder."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
from pathlib import Path
from typing import Final

from demo_pipeline.runtime.errors import BrokerError
from demo_pipeline.runtime.private_files import temp_folder

VERSION: Final = "4.3.1"
"""Kafka's own version; its jars are `org.apache.kafka:kafka_2.13`."""

_JAVA: Final = 17
_INSTALL: Final = (
    "for example: apt-get install openjdk-17-jre-headless maven, or brew install openjdk@17 maven"
)
_POM: Final = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>pipeline-tracing</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{version}</version>
    </dependency>
    <!-- Without a logger, Kafka does not report why a start failed. -->
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""


def missing_tools() -> str | None:
    """Return which tools are missing to run Kafka, and how to get them; `None` if none is."""
    missing = [name for name in ("java", "mvn") if shutil.which(name) is None]
    if "mvn" in missing and _cached().is_dir():
        missing.remove("mvn")
    if not missing:
        return None
    absent = " and ".join(missing)
    return f"Apache Kafka needs Java {_JAVA} and Maven; missing: {absent}; {_INSTALL}"


async def kafka_jars() -> Path:
    """Return the folder with Kafka's jars, after downloading them the first time.

    Maven's own settings, such as mirrors, apply. Two processes may do this at the same time.

    Raises:
        BrokerError: Java or Maven is missing or too old, or Maven cannot get the jars.
    """
    missing = missing_tools()
    if missing is not None:
        raise BrokerError(missing)
    await _check_java()
    folder = _cached()
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with temp_folder("jars", folder.parent) as work:
            jars = await _resolve(work)
            # The first process wins; the other one has the same files.
            with contextlib.suppress(OSError):
                jars.rename(folder)
    return folder


def _cached() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "pipeline-tracing" / f"kafka-{VERSION}"


async def _resolve(work: Path) -> Path:
    (work / "pom.xml").write_text(_POM.format(version=VERSION))
    jars = work / "jars"
    status, output = await _run(
        "mvn", "--batch-mode", "--quiet", "--file", str(work / "pom.xml"),
        "dependency:copy-dependencies", f"-DoutputDirectory={jars}", "-DincludeScope=runtime",
    )  # fmt: skip
    if status or not any(jars.glob("kafka_*.jar")):
        errors = [line for line in output.splitlines() if "ERROR" in line]
        reason = errors[0] if errors else output[-400:].strip()
        raise BrokerError(
            f"Maven cannot download Apache Kafka {VERSION}: is the machine online, and are Maven's "
            f"settings right? Its output: {reason}"
        )
    return jars


async def _check_java() -> None:
    _, output = await _run("java", "-version")
    match = re.search(r'version "(\d+)', output)
    if match is None or int(match[1]) < _JAVA:
        version = match[1] if match else "unknown"
        raise BrokerError(
            f"Apache Kafka needs Java {_JAVA}, but this is Java {version}: {_INSTALL}"
        )


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
