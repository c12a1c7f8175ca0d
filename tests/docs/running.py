"""Runs a page: its blocks share their names and an event loop, as if typed one after another."""

from __future__ import annotations

import ast
from contextlib import AsyncExitStack
from dataclasses import dataclass
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tests.docs.pages import blocks_of
from tracing import Telemetry, TracedConsumer, TracedProducer
from tracing.testing import Capture

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Page:
    """What the hidden blocks of a page take their clients from; the name `page`.

    Attributes:
        path: The page itself.
        servers: The bootstrap servers of a broker that only this page uses.
        folder: An empty folder.
        capture: The telemetry of the clients.
        telemetry: The same, as the library takes it.
        stack: Stops what the page starts.
    """

    path: Path
    servers: str
    folder: Path
    capture: Capture
    telemetry: Telemetry
    stack: AsyncExitStack

    async def producer(self, **options: Any) -> TracedProducer:
        """Start a traced producer."""
        bare = AIOKafkaProducer(bootstrap_servers=self.servers, **options)
        return await self.stack.enter_async_context(TracedProducer(bare, self.telemetry))

    async def consumer(self, *topics: str, group: str) -> TracedConsumer:
        """Start a traced consumer that reads from the beginning and commits by hand."""
        bare = AIOKafkaConsumer(
            *topics,
            bootstrap_servers=self.servers,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        return await self.stack.enter_async_context(TracedConsumer(bare, self.telemetry))


async def run_page(path: Path, servers: str, folder: Path) -> dict[str, Any]:
    """Run a page's blocks and return their names; blocks that are files are written to `folder`."""
    async with AsyncExitStack() as stack:
        capture = stack.enter_context(Capture("docs"))
        telemetry = Telemetry(
            "orders",
            tracer_provider=capture.tracer_provider,
            meter_provider=capture.meter_provider,
            logger_provider=capture.logger_provider,
        )
        page = Page(path, servers, folder, capture, telemetry, stack)
        names: dict[str, Any] = {"__name__": path.stem, "page": page}
        for block in blocks_of(path):
            if block.title:
                (folder / block.title).parent.mkdir(parents=True, exist_ok=True)
                (folder / block.title).write_text(block.source)
                continue
            # Errors name the line of the page.
            source = "\n" * block.line + block.source
            code = compile(source, path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            running = eval(code, names)  # noqa: S307 - our own documentation
            if isawaitable(running):
                await running
        return names
