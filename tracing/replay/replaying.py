"""Rebuild a read model from the log beside the live one, and switch over without a gap."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tracing.replay.batches import BatchReader
from tracing.replay.plan import ReplayOptions, other_logs, starts_of, targets_of
from tracing.replay.positions import Position
from tracing.replay.progress import Account
from tracing.replay.seams import MostLeftOutError, ReplayError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tracing.replay.plan import Decode
    from tracing.replay.positions import LogPartition, LogRange
    from tracing.replay.progress import ProgressCallback, ReplayProgress
    from tracing.replay.seams import AppliedBatch, Claim, ReplaySource, ReplayStore
    from tracing.telemetry import Telemetry

_POLL_S: Final = 0.2
_REST_S: Final = 3.0
# The live consumer is as fast as the log grows; after that many attempts something else is wrong.
_SWITCHES: Final = 20


async def replay(
    source: ReplaySource,
    store: ReplayStore,
    decode: Decode,
    telemetry: Telemetry,
    options: ReplayOptions | None = None,
    progress: ProgressCallback | None = None,
) -> ReplayProgress:
    """Rebuild a read model from the log.

    Records and positions are stored together, so a replay that was killed goes on where it was when
    it is called again with the same start and end. The live consumer goes on meanwhile; it waits
    only for the switch. Memory is bounded by the batch and what the source fetches ahead.

    Args:
        source: The log.
        store: The read model.
        decode: Decodes a record. It must have no effects, and neither must what applies the
            events: `current_replay` lets a handler recognise a replay.
        telemetry: Counts the records, apart from those of live consumers, and starts a span for
            each batch.
        options: How to replay; by default from the beginning to where the live consumer is.
        progress: Receives the progress after every batch.

    Returns:
        The final progress.

    Raises:
        AlreadyReplayedError: Another replay of the read model runs, or has taken over.
        MostLeftOutError: Most records of a type cannot be decoded, and `incomplete` is not set.
        ReplayError: The replay cannot begin or go on; the message says why and what to do.
        LookupError: A topic does not exist.
        TimeoutError: The log sent nothing for a while.
    """
    options = options or ReplayOptions()
    claim = await store.claim(options.start, options.end, restart=options.restart)
    account = Account(telemetry, store.name, claim.generation, resumed=bool(claim.positions))
    try:
        work = _Replay(source, store, decode, telemetry, options, account, claim, progress)
        try:
            await work.run()
        except MostLeftOutError:
            if work.lacks_records:
                # The next replay must not take up a generation with a gap.
                await store.release()
                await store.claim(options.start, options.end, restart=True)
            raise
        return account.progress()
    finally:
        account.close()
        # Of no consequence if it fails: a claim that shows no sign of life is taken over.
        with suppress(Exception):
            await asyncio.shield(store.release())


class _Replay:
    """One replay. For one task."""

    def __init__(
        self,
        source: ReplaySource,
        store: ReplayStore,
        decode: Decode,
        telemetry: Telemetry,
        options: ReplayOptions,
        account: Account,
        claim: Claim,
        progress: ProgressCallback | None,
    ) -> None:
        self._source, self._store, self._options = source, store, options
        self._account, self._claim, self._progress = account, claim, progress
        self._positions: dict[LogPartition, Position] = dict(claim.positions)
        self._reader = BatchReader(
            source, decode, telemetry, account, options, (store.name, claim.generation)
        )
        self._other_logs: frozenset[LogPartition] = frozenset()
        self._heard = monotonic()

    @property
    def lacks_records(self) -> bool:
        """Whether the generation lacks records that were left out."""
        return self._reader.left_out.is_stored

    async def run(self) -> None:
        """Replay to the end."""
        await self._clean()
        ranges = await self._source.ranges(self._store.topics)
        self._other_logs = other_logs(ranges, self._claim, accepted=self._options.incomplete)
        if not self._positions:
            await self._begin(ranges)
        await self._follow(ranges)
        targets = await targets_of(self._source, ranges, self._options.end)
        await self._apply_to(targets)
        if self._options.end == "live":
            await self._switch()
        else:
            self._refuse_nothing()
            await self._store.finish()
        await self._clean()
        self._report("done")

    async def _begin(self, ranges: Mapping[LogPartition, LogRange]) -> None:
        positions = await starts_of(self._source, ranges, self._claim, self._options)
        copy = self._options.start != "beginning"
        if copy:
            self._report("copying")
        await self._store.begin(positions, copy=copy)
        self._positions = dict(positions)

    async def _follow(self, ranges: Mapping[LogPartition, LogRange]) -> None:
        """Read on from the stored positions, and new partitions from their first record."""
        for partition, held in ranges.items():
            position = self._positions.setdefault(partition, Position(held.begin))
            if position.next_offset > held.end:
                raise ReplayError(
                    f"{partition} ends at offset {held.end}, and the interrupted replay was at "
                    f"{position.next_offset} already: the topic was created anew; begin anew with "
                    "restart"
                )
            if position.next_offset < held.begin and self._claim.positions:
                raise ReplayError(
                    f"{partition} begins at offset {held.begin}, and the interrupted replay was at "
                    f"{position.next_offset}: retention has removed what it had still to read; "
                    "begin anew with restart"
                )
        await self._seek()

    async def _seek(self) -> None:
        self._heard = monotonic()
        await self._source.seek({each: at.next_offset for each, at in self._positions.items()})

    async def _apply_to(self, targets: Mapping[LogPartition, int]) -> None:
        """Apply what there is up to these offsets."""
        self._account.measure(targets, self._positions)
        self._report("replaying")
        while not self._reached(targets):
            batch = await self._next(targets)
            if batch is None:
                await self._store.touch()
            else:
                with self._reader.span(batch):
                    await self._store.apply(batch)
                self._reader.left_out.stored()
                self._positions.update(batch.positions)
            if self._options.end != "live":
                self._source.leave([each for each in targets if self._reached_in(each, targets)])
            self._account.measure(targets, self._positions)
            self._report("replaying")

    async def _next(self, targets: Mapping[LogPartition, int]) -> AppliedBatch | None:
        """Read a batch; `None` if nothing came and no position moved.

        Raises:
            TimeoutError: Nothing has come for too long.
        """
        bounds = targets if self._options.end != "live" else None
        batch = await self._reader.read(self._positions, bounds, _POLL_S)
        if batch is not None:
            self._heard = monotonic()
        elif monotonic() - self._heard > self._options.silence_s:
            raise TimeoutError(
                f"the log sent no record for {self._options.silence_s:g} s: is the cluster "
                "reachable? The same replay resumes where it is"
            )
        return batch

    def _reached(self, targets: Mapping[LogPartition, int]) -> bool:
        return all(self._reached_in(partition, targets) for partition in targets)

    def _reached_in(self, partition: LogPartition, targets: Mapping[LogPartition, int]) -> bool:
        return self._positions[partition].next_offset >= targets[partition]

    async def _switch(self) -> None:
        """Catch up with the live consumer, and switch over."""
        for _ in range(_SWITCHES):
            ranges = await self._source.ranges(self._store.topics)
            if ranges.keys() - self._positions.keys():
                await self._follow(ranges)
            await self._apply_to({partition: held.end for partition, held in ranges.items()})
            self._refuse_nothing()
            self._report("switching")
            stored = dict(self._positions)
            if await self._store.switch(self._rest):
                return
            # What was read for the attempt was not kept.
            self._positions = stored
            await self._seek()
        raise ReplayError(
            f"the live consumer of {self._store.name} was ahead at {_SWITCHES} attempts to switch: "
            "the log sends too slowly; the same replay goes on from here"
        )

    def _refuse_nothing(self) -> None:
        """Refuse a read model of nothing, unless an earlier process has applied something."""
        if not self._claim.positions and not self._options.incomplete:
            self._reader.left_out.refuse_all()

    async def _rest(self, live: Mapping[LogPartition, int]) -> AsyncIterator[AppliedBatch]:
        """Read what the live consumer has applied and the generation has not; it waits meanwhile.

        Raises:
            TimeoutError: That takes too long.
        """
        # What the live consumer has read of a log that is gone cannot be read again.
        targets = {each: at for each, at in live.items() if each not in self._other_logs}
        if targets.keys() - self._positions.keys():
            raise TimeoutError
        until = monotonic() + _REST_S
        while not self._reached(targets):
            if monotonic() > until:
                raise TimeoutError
            batch = await self._reader.read(self._positions, None, _POLL_S)
            if batch is not None:
                with self._reader.span(batch):
                    yield batch
                self._positions.update(batch.positions)

    async def _clean(self) -> None:
        while await self._store.clean():
            self._report("cleaning")

    def _report(self, phase: Any) -> None:
        self._account.phase = phase
        if self._progress is not None:
            self._progress(self._account.progress())
