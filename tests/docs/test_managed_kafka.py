"""The page on managed Kafka: connections with SASL and TLS, and which rights are needed."""

from __future__ import annotations

import asyncio
import re
import shlex
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from demo_pipeline.broker import create_topics
from tests.brokers import running_broker
from tests.docs.pages import ROOT, blocks_of
from tests.docs.secured_kafka import SecuredKafka
from tests.docs.work_with_rights import LINES, PASSWORD, Work
from tests.tracing.lag.guarded import DESCRIBE, DESCRIBE_CONFIGS, GROUP, READ, TOPIC
from tracing import Telemetry
from tracing.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.kafka, pytest.mark.integration]

PAGE: Final = ROOT / "docs" / "guides" / "managed-kafka.md"
BROKER: Final = "broker.example.com:9094"
OPERATIONS: Final = {
    "Read": READ,
    "Write": 4,
    "Create": 5,
    "Delete": 6,
    "Describe": DESCRIBE,
    "DescribeConfigs": DESCRIBE_CONFIGS,
}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the page's table.

    Attributes:
        number: Its number.
        who: Its first cell.
        rights: Its second cell: operations, and what the page calls their resources.
    """

    number: int
    who: str
    rights: tuple[tuple[str, str], ...]

    @property
    def reads_marks(self) -> bool:
        """Whether it works on what earlier replays have left."""
        operations = {operation for operation, phrase in self.rights if "replays" in phrase}
        return bool(operations) and "Create" not in operations

    def user(self, missing: int | None = None) -> str:
        """Return the name of the user who lacks one of the rights, or none."""
        return f"line{self.number}{'' if missing is None else f'-without{missing}'}"

    def users(self) -> dict[str, int | None]:
        """Return the users, and which right each lacks."""
        return {self.user(missing): missing for missing in (None, *range(len(self.rights)))}


def _lines() -> list[Line]:
    rows = re.findall(r"^\| (.+?) \| (.+?) \| .*\|$", PAGE.read_text(), re.MULTILINE)
    return [
        Line(number, who, tuple(re.findall(r"(\w+) on ([^,]+)", rights)))
        for number, (who, rights) in enumerate(rows[1:])
    ]


TABLE: Final = _lines()


@pytest.fixture(scope="module")
def kafka(java: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    users = {"payment", "operator", *(user for line in TABLE for user in line.users())}
    kafka = SecuredKafka(
        tmp_path_factory.mktemp("kafka"),
        dict.fromkeys(users, PASSWORD),
        scram=("payment", "operator"),
    )
    with running_broker(lambda: kafka):
        yield kafka


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_the_clients_of_the_page_connect(
    kafka: SecuredKafka, monkeypatch: pytest.MonkeyPatch, mechanism: str
) -> None:
    monkeypatch.setenv("KAFKA_USER", "payment")
    monkeypatch.setenv("KAFKA_PASSWORD", PASSWORD)
    await create_topics(kafka.bootstrap_servers, {"orders": 1})
    await kafka.grant_all(
        [
            ("payment", TOPIC, "orders", READ),
            ("payment", TOPIC, "orders", OPERATIONS["Write"]),
            ("payment", GROUP, "payment", READ),
        ]
    )
    (block,) = (block for block in blocks_of(PAGE) if "TracedConsumer(" in block.source)
    source = block.source.replace(BROKER, kafka.guarded_servers)
    source = source.replace("SCRAM-SHA-512", mechanism)
    source = source.replace("context()", f"context(cafile={str(kafka.ca)!r})")
    names: dict[str, Any] = {"telemetry": Telemetry("orders")}
    exec(source, names)  # noqa: S102 - our own documentation
    producer, consumer = names["producer"], names["consumer"]

    async with AsyncExitStack() as stack:
        for client in (producer, consumer):
            stack.push_async_callback(client.stop)
        await producer.start()
        await consumer.start()
        await consumer.seek_to_end()
        sent = await producer.send_and_wait("orders", b"1")
        record = await consumer.getone()
        await consumer.commit()

    assert sent.offset == record.offset


async def test_the_command_of_the_page_connects(
    kafka: SecuredKafka,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text()
    properties = text.partition("```properties\n")[2].partition("```")[0]
    properties = properties.replace("# ssl.ca.location=ca.pem,", f"ssl.ca.location={kafka.ca}\n#")
    (tmp_path / "operator.properties").write_text(properties)
    command = text.partition("```sh\npython -m tracing ")[2].partition("\n")[0]
    await kafka.grant_all([("operator", GROUP, "payment", DESCRIBE)])

    arguments = shlex.split(command.replace(BROKER, kafka.guarded_servers))

    assert 0 == await asyncio.to_thread(main, arguments), capsys.readouterr().err


@pytest.mark.parametrize("line", TABLE, ids=lambda line: line.who)
async def test_the_rights_of_a_line_suffice_and_each_is_needed(
    kafka: SecuredKafka,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: Line,
) -> None:
    monkeypatch.setenv("EDITOR", "sed -i s/1/2/")
    works: dict[str, bool] = {}
    for user, missing in line.users().items():
        (folder := tmp_path / user).mkdir()
        work = Work(kafka, user, folder, capsys)
        rights = [right for number, right in enumerate(line.rights) if number != missing]
        await work.prepare(replayed=line.reads_marks)
        await kafka.grant_all(
            (user, *work.resource(phrase), OPERATIONS[operation]) for operation, phrase in rights
        )
        works[user] = False
        with suppress(PermissionError):
            works[user] = await LINES[line.who](work)

    assert {user: missing is None for user, missing in line.users().items()} == works


def test_all_lines_are_tried() -> None:
    assert list(LINES) == [line.who for line in TABLE]
    assert all(line.rights for line in TABLE)
