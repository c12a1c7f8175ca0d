"""Importing the doubles needs no aiokafka, and they work without it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

WITHOUT_AIOKAFKA = """
import asyncio, sys
sys.modules["aiokafka"] = None  # makes every import of it fail
from tracing.testing import InMemoryBroker, InMemoryConsumer, InMemoryProducer

class Listener:
    def __init__(self):
        self.assigned = set()
    def on_partitions_revoked(self, revoked):
        pass
    async def on_partitions_assigned(self, assigned):
        self.assigned |= assigned

async def main():
    broker = InMemoryBroker(partitions=1)
    consumer = InMemoryConsumer(broker=broker, group_id="g", auto_offset_reset="earliest")
    listener = Listener()
    consumer.subscribe(["orders"], listener=listener)
    async with InMemoryProducer(broker) as producer, consumer:
        sent = await producer.send_and_wait("orders", b"v", b"k", headers=[("h", b"1")])
        record = await consumer.getone()
        await consumer.commit()
        offsets = await consumer.offsets_for_times({sent.topic_partition: record.timestamp})
        print(record.value, record.headers, sent.offset, offsets[sent.topic_partition].offset)
        print(listener.assigned == consumer.assignment() == {sent.topic_partition})
    try:
        await consumer.getone()
    except Exception as error:
        print(type(error).__name__)
    try:
        await producer.send("orders", b"v")
    except Exception as error:
        print(type(error).__name__)

asyncio.run(main())
"""


def run(program: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.splitlines()


def test_importing_does_not_import_aiokafka() -> None:
    program = "import sys, tracing.testing; print('aiokafka' in sys.modules)"

    assert ["False"] == run(program)


def test_without_aiokafka_the_doubles_use_equal_types_of_their_own() -> None:
    assert [
        "b'v' (('h', b'1'),) 0 0",
        "True",
        "ConsumerStoppedError",
        "ProducerClosed",
    ] == run(WITHOUT_AIOKAFKA)


def test_the_doubles_import_nothing_else_of_the_library() -> None:
    offenders = {
        f"{file.name}: {module}"
        for file in (ROOT / "tracing" / "testing").glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for module in ([node.module] if isinstance(node, ast.ImportFrom) else names_of(node))
        if module is not None
        and module.split(".")[0] in {"tracing", "demo_pipeline", "dashboards"}
        and not module.startswith("tracing.testing")
    }

    assert set() == offenders


def names_of(node: ast.Import) -> list[str]:
    return [alias.name for alias in node.names]
