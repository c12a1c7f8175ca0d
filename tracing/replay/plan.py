"""The options of a replay, and from where to where it reads each partition."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracing.messaging.outcome import Unprocessable
from tracing.replay.positions import AtOffset, AtTime, Position
from tracing.replay.seams import ReplayError
from tracing.schemas.errors import UnknownSchema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracing.replay.positions import End, LogPartition, LogRange, Start
    from tracing.replay.seams import Claim, ReplaySource


Decode = Callable[[Any], Awaitable[Any]]
"""Decodes a record; `None` for one of no interest. It refuses what the live consumer refuses."""


def refused_for_good(error: Exception) -> bool:
    """Return whether `consume` makes a dead letter of a record at once, here and elsewhere.

    That is `Unprocessable`, but not `UnknownSchema`: the live consumer may use another registry,
    and then a read model would be replaced by one that lacks all that it could read.
    """
    return isinstance(error, Unprocessable) and not isinstance(error, UnknownSchema)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """How to replay.

    Attributes:
        start: Where to start. From the beginning, the read model is built from nothing. From
            elsewhere, a copy of the active rows gets the records from there once more, which is
            right for read models that an event changes only once.
        end: Where to end. At `live`, the new generation replaces the active one. Elsewhere it is
            kept beside it, until the next replay of the read model.
        group: The live consumer's group: dead letters that were replayed for other groups are left
            out, as it left them out.
        undecodable: Whether a record is left out whose decoding fails with this error, because
            the live consumer made a dead letter of it. Other errors end the replay, and so does a
            schema that is unknown here, unless this says otherwise.
        incomplete: Whether the read model may lack records: because the log has lost its first
            ones, because it is another log, or because most records of a type cannot be decoded.
        restart: Whether to begin anew instead of taking up what an interrupted replay left.
        batch_size: Records that are applied in one transaction.
        silence_s: How long to wait for a log that sends nothing, in seconds.
    """

    start: Start = "beginning"
    end: End = "live"
    group: str | None = None
    undecodable: Callable[[Exception], bool] = refused_for_good
    incomplete: bool = False
    restart: bool = False
    batch_size: int = 500
    silence_s: float = 30.0

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ValueError: A number is not positive, or the end is before the start.
        """
        match self.start, self.end:
            case (AtOffset(start), AtOffset(end)) | (AtTime(start), AtTime(end)) if end < start:
                raise ValueError(f"the end, {self.end}, is before the start, {self.start}")
        for name, value in (("batch_size", self.batch_size), ("silence_s", self.silence_s)):
            if not value > 0:
                raise ValueError(f"{name} must be positive, not {value!r}")


async def starts_of(
    source: ReplaySource,
    ranges: Mapping[LogPartition, LogRange],
    claim: Claim,
    options: ReplayOptions,
) -> dict[LogPartition, Position]:
    """Return where a new generation starts in each partition.

    Raises:
        ReplayError: The generation would lack records that the log no longer holds, or there are
            no rows to copy.
    """
    start = options.start
    if start == "beginning":
        cut = [f"{each} at {held.begin}" for each, held in sorted(ranges.items()) if held.begin]
        if cut and not options.incomplete:
            raise ReplayError(
                f"the log no longer holds its first records ({', '.join(cut)}): a read model that "
                "is built from it lacks what they made. Start at a time or an offset, which begins "
                "with a copy of the live rows; or accept that (--incomplete)"
            )
        return {each: Position(held.begin) for each, held in ranges.items()}
    if claim.active is None:
        raise ReplayError(
            "the read model was never built, so there are no rows to which records from "
            f"{start} on could be added: start at the beginning"
        )
    if isinstance(start, AtOffset):
        wanted = dict.fromkeys(ranges, start.offset)
    else:
        wanted = await source.offsets_at(ranges.keys(), start.unix_ms)
    positions = {}
    for partition, held in ranges.items():
        # The copy holds what the live consumer has applied, so it cannot start after that.
        live = claim.live.get(partition, Position(held.begin))
        first = min(held.clamped(wanted.get(partition, held.end)), held.clamped(live.next_offset))
        positions[partition] = Position(first, live.event_ms)
    return positions


def other_logs(
    ranges: Mapping[LogPartition, LogRange], claim: Claim, *, accepted: bool
) -> frozenset[LogPartition]:
    """Return the partitions that are shorter than what the live consumer has read of them.

    Args:
        ranges: What the partitions hold.
        claim: How far the live consumer is.
        accepted: Whether there may be any.

    Raises:
        ReplayError: There are some, and there may be none.
    """
    others = set()
    for partition, live in sorted(claim.live.items()):
        end = ranges[partition].end if partition in ranges else 0
        if live.next_offset > end:
            others.add(partition)
            if not accepted:
                raise ReplayError(
                    f"{partition} ends at offset {end}, and the live consumer has read it up to "
                    f"{live.next_offset}: is this the right cluster? If its topic was created "
                    "anew, the log no longer holds what came before; accept that (--incomplete)"
                )
    return frozenset(others)


async def targets_of(
    source: ReplaySource, ranges: Mapping[LogPartition, LogRange], end: End
) -> dict[LogPartition, int]:
    """Return where a replay ends in each partition, as far as the log goes now."""
    if isinstance(end, AtOffset):
        return {partition: held.clamped(end.offset) for partition, held in ranges.items()}
    if isinstance(end, AtTime):
        wanted = await source.offsets_at(ranges.keys(), end.unix_ms)
        return {
            partition: held.clamped(wanted.get(partition, held.end))
            for partition, held in ranges.items()
        }
    return {partition: held.end for partition, held in ranges.items()}
