"""When producers hear what became of their records: in a later loop turn, or when released."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiokafka.structs import RecordMetadata


class Acknowledgements:
    """Makes the futures that producers hand out, and resolves them."""

    def __init__(self) -> None:
        self._holders = 0
        self._held: list[Callable[[], object]] = []

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep acknowledgements back inside the block, release them at its end."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            if not self._holders:
                held, self._held = self._held, []
                for release in held:
                    release()

    def announce(self, outcome: RecordMetadata | Exception) -> asyncio.Future[RecordMetadata]:
        """Promise an outcome: metadata resolves the future, an exception fails it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[RecordMetadata] = loop.create_future()
        release = partial(loop.call_soon, _resolve, future, outcome)
        if self._holders:
            self._held.append(release)
        else:
            release()
        return future


def _resolve(future: asyncio.Future[RecordMetadata], outcome: RecordMetadata | Exception) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
