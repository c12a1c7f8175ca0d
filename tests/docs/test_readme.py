"""The service of the README, run as the README says: it fails, gives up and is replayed."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from tests.docs.pages import README, ROOT, file_in
from tests.docs.terminal import Terminal, broker_command, commands
from tracing.testing import eventually


@pytest.mark.integration
async def test_the_service_runs_fails_retries_gives_up_and_is_replayed(tmp_path: Path) -> None:
    export, service, order = commands(README, "See it")
    outage, second, _, listing, mended, replay, lag = commands(README, "Retries and dead letters")
    for title in ("payment.py", "order.py"):
        (tmp_path / title).write_text(file_in(README, title))
    shell = Terminal(tmp_path)
    async with shell.running(broker_command(), ROOT) as broker:
        assert await eventually(lambda: broker.read_text().endswith("\n"), timeout_s=60)
        shell.export(broker.read_text())
        shell.export(export)
        async with shell.running(service) as printed:
            sent = await shell.run(order)
            assert "send orders" in sent
            (trace,) = set(re.findall(r'(?:trace |"trace_id": "0x)([0-9a-f]{32})', sent))
            assert await eventually(
                lambda: "send payments" in printed.read_text() and trace in printed.read_text(),
                timeout_s=60,
            )

            await shell.run(outage)
            await shell.run(second)
            assert await eventually(
                lambda: "is now a dead letter in orders.payment.dlq" in printed.read_text(),
                timeout_s=60,
            )
            assert "attempt 3 of 3" in printed.read_text()
            assert "1 dead letter\n" in await shell.run(listing)

            await shell.run(mended)
            sends = printed.read_text().count("send payments")
            assert "1 dead letter replayed" in await shell.run(replay, answer="y\n")
            assert await eventually(
                lambda: printed.read_text().count("send payments") > sends,
                timeout_s=60,
            )
            assert "payment" in await shell.run(lag)


@pytest.mark.integration
async def test_a_service_that_waits_for_a_silent_broker_ends_when_asked(tmp_path: Path) -> None:
    _, service, _ = commands(README, "See it")
    (tmp_path / "payment.py").write_text(file_in(README, "payment.py"))
    asked = asyncio.Event()

    async def never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        asked.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(never_answers, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        shell = Terminal(tmp_path)
        shell.export(f"export KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:{port} OTEL_SDK_DISABLED=true")
        # A request of aiokafka times out after 40 s.
        async with asyncio.timeout(30), shell.running(service):
            await asked.wait()
