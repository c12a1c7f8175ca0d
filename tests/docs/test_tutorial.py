"""The commands of the tutorial: an order goes through, fails, is kept and is replayed."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from demo_pipeline.broker.guarded import free_ports
from tests.docs.pages import ROOT
from tests.docs.terminal import Terminal, broker_command, commands
from tracing.testing import eventually

TUTORIAL = ROOT / "docs" / "tutorial.md"


@pytest.mark.integration
async def test_the_shop_charges_fails_keeps_and_replays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The environment's own editable install may be another checkout.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    _, export, saga, payment, orders = commands(TUTORIAL, "Run it")
    (order,) = commands(TUTORIAL, "Place an order")
    outage, second, _, listing, mended, replay, dear = commands(TUTORIAL, "Let it fail")
    port = str(free_ports(1)[0])
    shell = Terminal(tmp_path)
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(shell.running(broker_command(), ROOT))
        assert await eventually(lambda: broker.read_text().endswith("\n"), timeout_s=60)
        shell.export(broker.read_text())
        shell.export(export)
        await stack.enter_async_context(shell.running(saga))
        paid = await stack.enter_async_context(shell.running(payment))
        served = await stack.enter_async_context(shell.running(orders.replace("8000", port)))
        assert await eventually(lambda: "startup complete" in served.read_text(), timeout_s=60)

        await shell.run(order.replace("8000", port))
        assert await eventually(
            lambda: "charged 2000 cents for kettle" in paid.read_text(), timeout_s=60
        )

        await shell.run(outage)
        await shell.run(second.replace("8000", port))
        assert await eventually(lambda: "is now a dead letter" in paid.read_text(), timeout_s=60)
        assert "ConnectionError" in await shell.run(listing)
        await shell.run(mended)
        assert "1 dead letter replayed" in await shell.run(replay, answer="y\n")
        assert await eventually(
            lambda: "charged 2000 cents for teapot" in paid.read_text(), timeout_s=60
        )

        await shell.run(dear.replace("8000", port))
        assert await eventually(lambda: "outcome=rejected" in paid.read_text(), timeout_s=60)
        assert "PaymentDeclined" in paid.read_text()
        assert "200000" not in paid.read_text()
