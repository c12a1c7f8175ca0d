"""Apache Kafka with one node or several, on loopback, for as long as it is needed."""

from __future__ import annotations

import asyncio
import base64
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from demo_pipeline.broker import guarded
from demo_pipeline.broker.cluster import wait_for_groups, wait_until_reachable
from demo_pipeline.broker.kafka_jars import KAFKA
from demo_pipeline.runtime.errors import BrokerError
from demo_pipeline.runtime.private_files import PRIVATE_UMASK, make_private_file, temp_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_START_S: Final = 90.0
_STOP_S: Final = 10.0
_LOG_TAIL: Final = 1000
# Small, because several nodes and all services share one machine.
_JVM: Final = ("-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class KafkaCluster:
    """A Kafka cluster in KRaft mode, as an async context manager.

    Every node is broker and controller. The cluster runs during the block, and ends with this
    process however that dies; its data is then deleted.

    Args:
        nodes: How many nodes, 1 or 3; they are numbered from 0.
        settings: Broker settings that override the defaults, by Kafka's names.

    Raises:
        BrokerError: On entering: Java or Maven is missing, or Kafka does not start.
    """

    _format_options: tuple[str, ...] = ()
    """Further options for formatting the storage of a node, such as its first users."""

    def __init__(self, nodes: int = 1, *, settings: Mapping[str, str] | None = None) -> None:
        self._stack = ExitStack()
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._ports: list[int] = []
        self._nodes = nodes
        self._settings = dict(settings or {})
        self._folder = Path()
        self._jars = Path()

    @property
    def bootstrap_servers(self) -> str:
        """The addresses of all nodes, as `host:port`, separated by commas."""
        return ",".join(self._address(node) for node in range(self._nodes))

    async def __aenter__(self) -> Self:
        try:
            self._jars = await KAFKA.download()
            self._folder = self._stack.enter_context(temp_folder("kafka"))
            # Two for each node: for clients, and for the other nodes.
            self._ports = guarded.free_ports(2 * self._nodes)
            cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            for node in range(self._nodes):
                for file in (self._configuration(node), self._log(node)):
                    make_private_file(file)
                self._configuration(node).write_text(self._properties(node))
            await asyncio.gather(*(self._format(node, cluster_id) for node in range(self._nodes)))
            await asyncio.gather(*(self.restart(node) for node in range(self._nodes)))
            await wait_for_groups(self.bootstrap_servers, timeout_s=_START_S)
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

    async def kill(self, node: int) -> None:
        """Kill a node with SIGKILL; its data stays."""
        process = self._processes.pop(node)
        # Its guard kills it as soon as the pipe is closed.
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()

    async def restart(self, node: int) -> None:
        """Start a node on its old data and ports, and wait until it answers.

        Raises:
            BrokerError: It does not; the message ends with its log.
        """
        process = self._processes[node] = await self._launch(node)
        ready = asyncio.ensure_future(wait_until_reachable(self._address(node), timeout_s=_START_S))
        ended = asyncio.ensure_future(process.wait())
        try:
            await asyncio.wait((ready, ended), return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                raise BrokerError(f"Kafka ended at once; its log: {self._log_tail(node)}")
            try:
                await ready
            except BrokerError as error:
                raise BrokerError(
                    f"Kafka does not answer within {_START_S:g} s; its log: {self._log_tail(node)}"
                ) from error
        finally:
            ended.cancel()
            ready.cancel()
            await asyncio.gather(ready, ended, return_exceptions=True)

    async def _format(self, node: int, cluster_id: str) -> None:
        with self._log(node).open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                "java", *_JVM, "-cp", f"{self._jars}/*", "kafka.tools.StorageTool",
                # One id in 64 begins with a dash, and would look like an option.
                "format", f"--cluster-id={cluster_id}", "-c", str(self._configuration(node)),
                *self._format_options,
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, umask=PRIVATE_UMASK,
            )  # fmt: skip
        if await process.wait():
            raise BrokerError(f"Kafka cannot format its storage; its log: {self._log_tail(node)}")

    async def _launch(self, node: int) -> asyncio.subprocess.Process:
        return await guarded.launch(
            "java", *_JVM, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp", f"{self._jars}/*", "kafka.Kafka", str(self._configuration(node)),
            folder=self._folder, log=self._log(node),
        )  # fmt: skip

    async def _stop(self) -> None:
        processes, self._processes = list(self._processes.values()), {}
        await guarded.end(*processes, timeout_s=_STOP_S)
        self._stack.close()

    def _properties(self, node: int) -> str:
        replicas = min(3, self._nodes)
        voters = ",".join(
            f"{other}@127.0.0.1:{self._ports[2 * other + 1]}" for other in range(self._nodes)
        )
        settings = {
            "process.roles": "broker,controller",
            "node.id": node,
            "controller.quorum.voters": voters,
            "controller.listener.names": "CONTROLLER",
            "listeners": (
                f"PLAINTEXT://{self._address(node)},"
                f"CONTROLLER://127.0.0.1:{self._ports[2 * node + 1]}"
            ),
            "advertised.listeners": f"PLAINTEXT://{self._address(node)}",
            "log.dirs": self._folder / f"data-{node}",
            "auto.create.topics.enable": "false",
            "default.replication.factor": replicas,
            # With three replicas, one may fail without losing acknowledged records.
            "min.insync.replicas": max(1, replicas - 1),
            "offsets.topic.replication.factor": replicas,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": max(1, replicas - 1),
            "transaction.state.log.num.partitions": 4,
            "group.initial.rebalance.delay.ms": 0,
            # Everything is deleted with the cluster; until then, records of any age stay.
            "log.retention.ms": -1,
            # Tests stop members on purpose, and cannot wait for long.
            "group.min.session.timeout.ms": 500,
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            **self._settings,
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())

    def _address(self, node: int) -> str:
        return f"127.0.0.1:{self._ports[2 * node]}"

    def _configuration(self, node: int) -> Path:
        return self._folder / f"server-{node}.properties"

    def _log(self, node: int) -> Path:
        return self._folder / f"server-{node}.log"

    def _log_tail(self, node: int) -> str:
        return guarded.log_tail(self._log(node), _LOG_TAIL)
