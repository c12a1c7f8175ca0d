"""Apicurio Registry on loopback, in memory, for as long as it is needed."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import httpx

from demo_pipeline.broker import guarded
from demo_pipeline.broker.maven import JavaProgram
from demo_pipeline.runtime.errors import BrokerError
from demo_pipeline.runtime.private_files import make_private_file, temp_folder

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
            (self._port,) = guarded.free_ports(1)
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
                        f"{guarded.log_tail(self._log, _LOG_TAIL)}"
                    )
            finally:
                ended.cancel()
                ready.cancel()
                await asyncio.gather(ready, ended, return_exceptions=True)
        raise BrokerError(
            f"Apicurio Registry ended at once; its log: {guarded.log_tail(self._log, _LOG_TAIL)}"
        )

    async def _launch(self, jar: Path) -> asyncio.subprocess.Process:
        return await guarded.launch(
            "java", *_JVM, f"-Djava.io.tmpdir={self._folder}",
            "-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={self._port}",
            "-jar", str(jar),
            # It would read an application.properties in the folder where it starts.
            folder=self._folder, log=self._log,
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
            await guarded.end(process, timeout_s=_STOP_S)
        self._stack.close()

    @property
    def _log(self) -> Path:
        return self._folder / "registry.log"
