"""The work of each line in the table of rights, done as a user of a broker that checks them."""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
from aiokafka.structs import TopicPartition

import tracing
from tests.tracing.dlq.other_systems import share_group
from tests.tracing.lag.guarded import CLUSTER, GROUP, TOPIC
from tracing import DeadLetters, Provenance, Telemetry, TracedConsumer, TracedProducer
from tracing.__main__ import main
from tracing.dlq.replay_log import ReplayLog
from tracing.kafka.connection import Connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    import pytest

    from tests.docs.secured_kafka import SecuredKafka

PASSWORD: Final = "secret"  # noqa: S105 - of a broker that lives for one test
_TRANSACTIONAL_ID: Final = 5
_RECORDS: Final = 2
_REFUSALS: Final = (
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)


class Work:
    """One user's work on resources of its own.

    Args:
        kafka: The broker.
        user: The user, whose name is in the names of the resources.
        folder: An empty folder.
        capsys: Catches what commands print.
    """

    def __init__(
        self, kafka: SecuredKafka, user: str, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self._kafka = kafka
        self._user = user
        self._folder = folder
        self._capsys = capsys
        self._topic = f"orders-{user}"
        self._group = f"payment-{user}"
        self._dead = f"{self._topic}.{self._group}.dlq"
        self._output = f"output-{user}"
        self._replays = f"replays-{user}"

    def resource(self, phrase: str) -> tuple[int, str]:
        """Return the kind and the name of what the page calls so."""
        return {
            "the topic": (TOPIC, self._topic),
            "the original topic": (TOPIC, self._topic),
            "the topics that handlers send to": (TOPIC, self._output),
            "the dead-letter topic": (TOPIC, self._dead),
            "the share group's dead-letter topic": (TOPIC, f"dlq.{self._topic}"),
            "`__pipeline_dead_letter_replays`": (TOPIC, self._replays),
            "the group": (GROUP, self._group),
            "the transactional id": (_TRANSACTIONAL_ID, self._user),
            "the cluster": (CLUSTER, "kafka-cluster"),
        }[phrase]

    async def prepare(self, *, replayed: bool) -> None:
        """Create the topics, two dead letters and their originals; perhaps replay them."""
        servers = self._kafka.bootstrap_servers
        admin = AIOKafkaAdminClient(bootstrap_servers=servers)
        await admin.start()
        limits = {"retention.ms": "600000", "retention.bytes": "1000000"}
        topics = [
            NewTopic(name, 1, 1, topic_configs=limits)
            for name in (self._topic, self._dead, self._output, f"dlq.{self._topic}")
        ]
        await admin.create_topics(topics)
        await admin.close()
        async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
            for number in range(_RECORDS):
                await producer.send_and_wait(self._topic, b"{}")
                provenance = Provenance(
                    topic=self._topic, partition=0, offset=number, timestamp_ms=1,
                    group=self._group, exception="KeyError", message="", attempts=1,
                    first_failed_at_ms=1, failed_at_ms=1,
                )  # fmt: skip
                await producer.send_and_wait(self._dead, b'{"a": 1}', headers=provenance.headers())
        if replayed:
            replay = ("dlq", "replay", "--bootstrap-servers", servers, *self._of_dead_letters())
            assert 0 == await asyncio.to_thread(main, [*replay, "--yes"])

    async def produce(self) -> bool:
        async with self._producer() as producer:
            await producer.send_and_wait(self._topic, b"{}")
        return True

    async def consume(self) -> bool:
        async with self._consumer() as consumer:
            async with consumer.process(await consumer.getone()):
                pass
            await consumer.commit()
        return True

    async def keep_dead_letters(self) -> bool:
        stop = asyncio.Event()

        async def fail(_: object) -> None:
            stop.set()
            raise tracing.Unprocessable("no")

        async with self._producer() as producer, self._consumer() as consumer:
            await tracing.consume(consumer, fail, dead_letters=DeadLetters(producer), stop=stop)
        return True

    async def run_transactions(self) -> bool:
        stop = asyncio.Event()
        async with (
            self._producer(transactional_id=self._user) as producer,
            self._consumer() as consumer,
        ):

            async def forward(_: object) -> None:
                await producer.send_and_wait(self._output, b"{}")
                stop.set()

            await tracing.consume(consumer, forward, transactional=producer, stop=stop)
        return True

    async def lag(self) -> bool:
        return not (await self._lag())["missing_rights"]

    async def lag_and_retention(self) -> bool:
        return not (await self._lag())["unknown_retention"]

    async def list_and_show(self) -> bool:
        listed = await self._json("list", *self._of_dead_letters())
        shown = await self._json("show", f"{self._dead}/0/0", "--replay-topic", self._replays)
        return (_RECORDS, 0, True) == (
            listed["replayed"],
            listed["refused"],
            shown["replayed"] == "yes" and "not_replayed" not in shown,
        )

    async def replay_and_edit(self) -> bool:
        await self._json("replay", *self._of_dead_letters(), "--yes")
        edited = await self._json(
            "edit", f"{self._dead}/0/0", "--replay-topic", self._replays, "--yes"
        )
        return bool(edited["sent"])

    async def replay_for_a_share_group(self) -> bool:
        headers = share_group(self._topic, 0, 0, group=self._group)
        async with AIOKafkaProducer(bootstrap_servers=self._kafka.bootstrap_servers) as producer:
            await producer.send_and_wait(f"dlq.{self._topic}", b"{}", headers=headers)
        topics = ("--topic", f"dlq.{self._topic}", "--topic", self._topic)
        replayed = await self._json("replay", *topics, "--replay-topic", self._replays, "--yes")
        return bool(replayed["replayed"] == 1)

    async def purge(self) -> bool:
        purged = await self._json("purge", *self._of_dead_letters(), "--all", "--yes")
        anonymous = Connection(self._kafka.bootstrap_servers)
        async with ReplayLog(anonymous, self._replays) as log:
            return purged["deleted"] == _RECORDS and not log.history

    async def skip(self) -> bool:
        return await self._skip("--save", str(self._folder / "kept.json"))

    async def skip_to_dead_letters(self) -> bool:
        return await self._skip("--to-dead-letters")

    async def _skip(self, *keep: str) -> bool:
        place = ("--topic", self._topic, "--partition", "0", "--offset", "0", "--yes")
        await self._json("skip", "--group", self._group, *place, *keep)
        return True

    async def _lag(self) -> dict[str, Any]:
        admin = AIOKafkaConsumer(
            bootstrap_servers=self._kafka.bootstrap_servers,
            group_id=self._group,
            enable_auto_commit=False,
        )
        async with admin:
            admin.assign([tp := TopicPartition(self._topic, 0)])
            await admin.commit({tp: 0})
        return await self._run("lag", "--group", self._group, "--topic", self._topic)

    async def _json(self, *arguments: str) -> dict[str, Any]:
        return await self._run("dlq", *arguments)

    async def _run(self, *arguments: str) -> dict[str, Any]:
        """Run a command as the user.

        Raises:
            PermissionError: It failed.
        """
        file = self._folder / "user.properties"
        file.write_text(
            f"security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.username={self._user}\n"
            f"sasl.password={PASSWORD}\nssl.ca.location={self._kafka.ca}\n"
        )
        connection = ("--bootstrap-servers", self._kafka.guarded_servers, "--command-config")
        self._capsys.readouterr()
        code = await asyncio.to_thread(main, [*arguments, *connection, str(file), "--json"])
        printed = self._capsys.readouterr()
        if code:
            raise PermissionError(printed.err)
        document: dict[str, Any] = json.loads(printed.out[printed.out.index("{") :])
        return document

    def _of_dead_letters(self) -> tuple[str, ...]:
        return ("--topic", self._dead, "--replay-topic", self._replays)

    @asynccontextmanager
    async def _producer(self, **options: Any) -> AsyncIterator[TracedProducer]:
        client = AIOKafkaProducer(**self._options(), **options)
        producer = TracedProducer(client, Telemetry("orders"))
        # Also after a start that fails.
        try:
            with _refusals():
                await producer.start()
                yield producer
        finally:
            await producer.stop()

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[TracedConsumer]:
        client = AIOKafkaConsumer(
            self._topic,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            **self._options(),
        )
        consumer = TracedConsumer(client, Telemetry("orders"))
        try:
            with _refusals():
                await consumer.start()
                yield consumer
        finally:
            await consumer.stop()

    def _options(self) -> dict[str, Any]:
        return {
            "bootstrap_servers": self._kafka.guarded_servers,
            "security_protocol": "SASL_SSL",
            "ssl_context": ssl.create_default_context(cafile=self._kafka.ca),
            "sasl_mechanism": "PLAIN",
            "sasl_plain_username": self._user,
            "sasl_plain_password": PASSWORD,
        }


@contextmanager
def _refusals() -> Iterator[None]:
    """Raise the broker's refusals as `PermissionError`, alone or in a group."""
    try:
        yield
    except _REFUSALS as refused:
        raise PermissionError from refused
    except ExceptionGroup as group:
        if group.subgroup(_REFUSALS) is None:
            raise
        raise PermissionError from group


LINES: Final[dict[str, Callable[[Work], Awaitable[bool]]]] = {
    "a producer": Work.produce,
    "a consumer": Work.consume,
    "`consume(dead_letters=...)`": Work.keep_dead_letters,
    "`consume(transactional=...)`": Work.run_transactions,
    "`lag`": Work.lag,
    "`lag` with shares of the retention": Work.lag_and_retention,
    "`dlq list`, `dlq show`": Work.list_and_show,
    "`dlq replay`, `dlq edit`": Work.replay_and_edit,
    "`dlq replay`, for a share group": Work.replay_for_a_share_group,
    "`dlq purge`": Work.purge,
    "`dlq skip`": Work.skip,
    "`dlq skip --to-dead-letters`": Work.skip_to_dead_letters,
}
"""By the first cell of a line: do it, and return whether all of it worked."""
