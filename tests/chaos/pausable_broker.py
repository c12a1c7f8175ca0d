"""Pause a broker's process, like a machine that swaps or is suspended."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo_pipeline.broker import EmbeddedBroker, KafkaCluster


class PausableBroker:
    """A running broker that can be paused; pauses may overlap.

    Only the broker is stopped. The process that guards it goes on, and still ends the broker when
    this process dies.
    """

    def __init__(self, broker: EmbeddedBroker | KafkaCluster) -> None:
        self._broker = broker
        self._pauses = 0

    @property
    def bootstrap_servers(self) -> str:
        return self._broker.bootstrap_servers

    @contextmanager
    def stopped(self) -> Iterator[None]:
        self._pauses += 1
        if self._pauses == 1:
            self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._pauses -= 1
            if self._pauses == 0:
                self._signal(signal.SIGCONT)

    async def pause(self, duration_s: float) -> None:
        with self.stopped():
            await asyncio.sleep(duration_s)

    def _signal(self, number: signal.Signals) -> None:
        for guard in _guards(self._broker):
            for child in Path(f"/proc/{guard}/task/{guard}/children").read_text().split():
                os.kill(int(child), number)


def _guards(broker: EmbeddedBroker | KafkaCluster) -> list[int]:
    processes = getattr(broker, "_processes", None)
    if processes is not None:
        return [process.pid for process in processes.values()]
    process = broker._process  # type: ignore[union-attr]  # the embedded broker has one process
    assert process is not None
    return [process.pid]
