"""Where dead letters are replayed to, some at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from tracing.dlq.originals import Originals
    from tracing.dlq.origins import Origins
    from tracing.dlq.partition_ends import PartitionEnds
    from tracing.dlq.places import LetterId
    from tracing.dlq.reading import Letter
    from tracing.headers.dead_letter import Provenance

_BYTES: Final = 16 * 1024 * 1024


class Addressed(NamedTuple):
    """A dead letter that can be sent.

    Attributes:
        dead_letter: The dead letter.
        provenance: Where it came from.
        empty: Whether its partition held no record before the replay.
    """

    dead_letter: Letter
    provenance: Provenance
    empty: bool


class Addresses:
    """Finds out which dead letters can be sent. For one task.

    Args:
        origins: Checks where they came from.
        ends: Knows where the partitions end that they came from.
        originals: Reads the records of dead letters that are no copies of them.
        on_failure: Receives those that cannot be sent, with the reason.

    Attributes:
        not_dead_letters: Number of records without provenance.
    """

    def __init__(
        self,
        origins: Origins,
        ends: PartitionEnds,
        originals: Originals,
        on_failure: Callable[[LetterId, BaseException], None],
    ) -> None:
        self._origins = origins
        self._ends = ends
        self._originals = originals
        self._on_failure = on_failure
        self.not_dead_letters = 0

    async def lists(
        self, dead_letters: AsyncIterator[Letter], at_once: int
    ) -> AsyncGenerator[list[Addressed], None]:
        """Yield lists of what can be sent, each of bounded size.

        Args:
            dead_letters: The dead letters.
            at_once: Largest number of dead letters in a list.

        Raises:
            Exception: What `dead_letters` raises; first, what was read before is yielded.
        """
        waiting: list[Addressed] = []
        size = 0
        failure: Exception | None = None
        try:
            async for dead_letter in dead_letters:
                addressed = await self._address(dead_letter)
                if addressed is None:
                    continue
                record = addressed.dead_letter.record
                own_size = len(record.value or b"") + len(record.key or b"")
                if waiting and size + own_size > _BYTES:
                    yield waiting
                    waiting, size = [], 0
                waiting.append(addressed)
                size += own_size
                if len(waiting) >= at_once:
                    yield waiting
                    waiting, size = [], 0
        except Exception as error:
            failure = error
        if waiting:
            yield waiting
        if failure is not None:
            raise failure

    async def _address(self, dead_letter: Letter) -> Addressed | None:
        provenance = dead_letter.provenance
        refusal = self._origins.refusal(dead_letter)
        if refusal is not None:
            self._on_failure(dead_letter.id, ValueError(refusal))
            return None
        if provenance is None:
            self.not_dead_letters += 1
            return None
        try:
            end = await self._ends.end_for(provenance)
            dead_letter = await self._originals.whole(dead_letter, provenance)
        except Exception as error:
            self._on_failure(dead_letter.id, error)
            return None
        return Addressed(dead_letter, provenance, empty=end == 0)
