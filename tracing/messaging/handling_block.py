"""What is handled inside a `with` or `async with` block: begun and ended with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class HandlingBlock:
    """Starts and ends with its block; ends with the error that leaves the block, if one does."""

    __slots__ = ()

    def start(self) -> None:
        """Begin."""
        raise NotImplementedError

    def end(self, error: BaseException | None = None) -> None:
        """End, with the error that left the block, if any."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.end(exc)

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.end(exc)
