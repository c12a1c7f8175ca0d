"""What a replay asks of a log and of a read model's store; any transport and database will do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tracing.replay.positions import LogPartition

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tracing.messaging.transport import ClientInfo
    from tracing.replay.positions import End, LogRange, Position, Start


class ReplayError(Exception):
    """A replay cannot begin or go on. What it has done is kept: the same replay resumes."""


class AlreadyReplayedError(ReplayError):
    """Another replay of the same read model runs, or has taken this one over."""


class MostLeftOutError(ReplayError):
    """Most records of a type cannot be decoded here: the read model would lack them.

    Nothing of it is lost: the same replay reads them again, from the beginning where it has to.
    """


@dataclass(frozen=True, slots=True)
class AppliedBatch:
    """Records that are applied together, in the order of each partition.

    Attributes:
        records: The records whose events are applied.
        events: The decoded event of each of them.
        positions: Where the generation is in each partition, once they are applied.
    """

    records: Sequence[Any]
    events: Sequence[Any]
    positions: Mapping[LogPartition, Position]


@dataclass(frozen=True, slots=True)
class Claim:
    """What a replay builds.

    Attributes:
        generation: The generation that it builds.
        positions: Where an interrupted replay stopped; empty at a new one.
        live: How far the live consumer is.
        active: The generation that is replaced; `None` if the read model was never built.
    """

    generation: int
    positions: Mapping[LogPartition, Position]
    live: Mapping[LogPartition, Position]
    active: int | None


Rest = Callable[[Mapping[LogPartition, int]], AsyncIterator[AppliedBatch]]
"""Reads the records up to these offsets, while the live consumer waits."""


class ReplaySource(Protocol):
    """Reads a log from any offset, without a consumer group. For one task."""

    @property
    def info(self) -> ClientInfo:
        """How the client is configured, for spans."""

    async def ranges(self, topics: Collection[str]) -> dict[LogPartition, LogRange]:
        """Return what each partition holds now.

        Raises:
            LookupError: A topic does not exist.
        """

    async def offsets_at(
        self, partitions: Collection[LogPartition], unix_ms: int
    ) -> dict[LogPartition, int]:
        """Return the offset of each partition's first record that is not older than a time.

        A partition without one is missing.
        """

    async def seek(self, positions: Mapping[LogPartition, int]) -> None:
        """Read these partitions from now on, each from an offset."""

    def leave(self, partitions: Collection[LogPartition]) -> None:
        """Read these partitions no further."""

    async def read(self, limit: int, wait_s: float) -> Sequence[Any]:
        """Return the next records, at most `limit`; none if there are none within `wait_s`.

        What a client cannot read is a `BrokenRecord` in its place.
        """

    async def positions(self) -> dict[LogPartition, int]:
        """Return the offset of the next record of each partition, past what a log left out."""


class ReplayStore(Protocol):
    """Keeps the generations of one read model. For one task.

    Every method raises `AlreadyReplayedError` once another replay has taken over.
    """

    @property
    def name(self) -> str:
        """The name of the read model."""

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that it is built from."""

    async def claim(self, start: Start, end: End, *, restart: bool) -> Claim:
        """Become the one that replays the read model, or take up what an interrupted one left.

        One that had another start or end is not taken up, and neither is any if `restart`.

        Raises:
            AlreadyReplayedError: Another replay of it is alive.
        """

    async def begin(self, positions: Mapping[LogPartition, Position], *, copy: bool) -> None:
        """Start the generation at these positions, with no rows or a copy of the active ones."""

    async def apply(self, batch: AppliedBatch) -> None:
        """Apply a batch and move the positions, in one transaction."""

    async def touch(self) -> None:
        """Show that the replay is alive, while there is nothing to apply."""

    async def switch(self, rest: Rest) -> bool:
        """Make the generation the active one, in a transaction that keeps the live consumer out.

        Args:
            rest: Reads what the live consumer has applied and the generation has not.

        Returns:
            Whether it did; `False` if the rest took too long, so that nothing has changed.
        """

    async def finish(self) -> None:
        """Keep the generation beside the active one: it is complete, but not to replace it."""

    async def clean(self) -> int:
        """Delete some rows of generations that are no longer needed; return how many, 0 if none."""

    async def release(self) -> None:
        """Let another replay begin, or take up what this one leaves."""
