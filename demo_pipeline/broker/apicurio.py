"""Apicurio Registry on loopback, in memory, for as long as it is needed."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import httpx

from demo_pipeline.broker import guard
from demo_pipeline.broker.maven import JavaProgram
from demo_pipeline.runtime.errors import BrokerError
from demo_pipeline.runtime.private_files import PRIVATE_UMASK, make_private_file, temp_folder

if TYPE_CHECKING:
    from types import TracebackType

VERSION: Final = "2.6.13.Final"
"""Apicurio's own version. Some versions of 3.x do not start."""

APICURIO: Final = JavaProgram(
    name="Apicurio Registry",
    version=VERSION,
    folder=f"apicurio-{VERSION}",
    # The archive has all jars. Its POM asks for them a second time.
    dependencies=f"""
    <dependency>
      <groupId>io.apicurio</groupId>
      <artifactId>apicurio-registry-app</artifactId>
      <version>{VERSION}</version>
      <type>tar.gz</type>
      <classifier>all</classifier>
      <exclusions>
        <exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion>
      </exclusions>
    </dependency>""",
    file="apicurio-registry-app-*-runner.jar",
)
"""Apicurio Registry with its in-memory storage."""

_PATH: Final = "/apis/ccompat/v7"
_ATTEMPTS: Final = 3
# It takes 5 to 20 s on two idle cores, and longer on busy ones.
_START_S: Final = 240.0
_STOP_S: Final = 10.0
_POLL_S: Final = 0.2
_LOG_TAIL: Final = 1000
_JVM: Final = ("-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class ApicurioRegistry:
    """An Apicurio Registry, as an async context manager.

    It runs during the block, and ends with this process however that dies. Its schemas are in
    memory and are lost with it.

    Raises:
        BrokerError: On entering: Java or Maven is missing, or the registry does not start.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._process: asyncio.subprocess.Process | None = None
        self._folder = Path()
        self._port = 0

    @property
    def url(self) -> str:
        """The address of its Confluent-compatible API."""
        return f"http://127.0.0.1:{self._port}{_PATH}"

    async def __aenter__(self) -> Self:
        try:
            files = await APICURIO.download()
            (jar,) = files.glob(APICURIO.file)
            self._folder = self._stack.enter_context(temp_folder("registry"))
            make_private_file(self._log)
            await self._start(jar)
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self._stop()

    async def _start(self, jar: Path) -> None:
        # Another process may take the free port before the registry listens on it.
        for _ in range(_ATTEMPTS):
            self._port = _free_port()
            self._process = process = await self._launch(jar)
            ended = asyncio.ensure_future(process.wait())
            ready = asyncio.ensure_future(self._answers())
            try:
                await asyncio.wait(
                    (ready, ended), timeout=_START_S, return_when=asyncio.FIRST_COMPLETED
                )
                if ready.done():
                    return
                if not ended.done():
                    raise BrokerError(
                        f"Apicurio Registry does not answer within {_START_S:g} s; its log: "
                        f"{self._log_tail()}"
                    )
            finally:
                ended.cancel()
                ready.cancel()
                await asyncio.gather(ready, ended, return_exceptions=True)
        raise BrokerError(f"Apicurio Registry ended at once; its log: {self._log_tail()}")

    async def _launch(self, jar: Path) -> asyncio.subprocess.Process:
        with self._log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable, guard.__file__,
                "java", *_JVM, f"-Djava.io.tmpdir={self._folder}",
                "-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={self._port}",
                "-jar", str(jar),
                stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log,
                # It would read an application.properties in the folder where it starts. Ctrl-C in
                # a terminal is for this process, which may still need the registry to finish.
                cwd=self._folder, start_new_session=True, umask=PRIVATE_UMASK,
            )  # fmt: skip

    async def _answers(self) -> None:
        """Wait until the registry lists its subjects."""
        async with httpx.AsyncClient(trust_env=False) as client:
            while True:
                try:
                    response = await client.get(f"{self.url}/subjects", timeout=10)
                    if response.is_success:
                        return
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(_POLL_S)

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), _STOP_S)
            except TimeoutError:
                process.kill()
                await process.wait()
        self._stack.close()

    @property
    def _log(self) -> Path:
        return self._folder / "registry.log"

    def _log_tail(self) -> str:
        text = self._log.read_text(errors="replace")
        return text[-_LOG_TAIL:].strip() or "nothing"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
