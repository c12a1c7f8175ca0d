"""The rows of the comparison: what an application does, and which variants of it are measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Client = Literal["aiokafka", "faststream", "confluent"]
Instrumentation = Literal["none", "ours", "official", "official, least"]
Reading = Literal["iterate", "process", "consume", "batch"]

DEFAULT_BATCH_SIZE: Final = 16_384
"""aiokafka's own `max_batch_size`, in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the application does with each message; the same with every instrumentation.

    Attributes:
        reading: How it receives: `async for`, `getone` and a `process` block, the whole loop of
            `consume`, or `getmany` and a block for each batch.
        headers: It sends three headers of its own.
        attributes: Its handler sets three attributes on the span.
        forwards: It receives events with a CloudEvents type and subject, and sends one for each.
        topics: How many topics it sends to in turns and receives from.
        max_batch_size: The producer's setting, in bytes.
    """

    reading: Reading = "iterate"
    headers: bool = False
    attributes: bool = False
    forwards: bool = False
    topics: int = 1
    max_batch_size: int = DEFAULT_BATCH_SIZE


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One thing to measure, in a process of its own.

    Attributes:
        instrumentation: `official, least` is the official one where its user writes the least code
            that keeps the trace whole or sets the attributes. `official` has a span of the user's
            own around the handler, which is what this library gives.
        sampled: The share of new traces that is sampled.
        encoded: Spans are encoded as OTLP; else they end at a processor that does nothing.
        flat: Whether the flat path is on. Only ours has one.
    """

    work: Work = Work()
    client: Client = "aiokafka"
    instrumentation: Instrumentation = "none"
    sampled: float = 1.0
    encoded: bool = False
    metrics: bool = True
    flat: bool = True

    @property
    def bare(self) -> Variant:
        """The same work without instrumentation."""
        # What the handler would set on a span is nothing without one.
        work = replace(self.work, attributes=False)
        return Variant(work=work, client=self.client)

    @property
    def name(self) -> str:
        """Its name, for messages."""
        instrumentation = "bare" if self.instrumentation == "none" else self.instrumentation
        return f"{instrumentation}{'' if self.flat else ', flat path off'} ({self.client})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One kind of message, and its variants.

    Attributes:
        name: What `--rows` takes.
        goal: The highest ratio of ours to the official instrumentation that the project accepts.
        least: Also compare with the least code that a user of the official one can write.
        flat_off: Also measure ours with the flat path off.
        elsewhere: Also compare with the telemetry of other clients, where they are installed.
    """

    name: str
    title: str
    work: Work = Work()
    sampled: float = 1.0
    encoded: bool = True
    metrics: bool = True
    goal: float | None = None
    least: bool = False
    flat_off: bool = False
    elsewhere: bool = False

    def variant(
        self,
        instrumentation: Instrumentation,
        *,
        client: Client = "aiokafka",
        flat: bool = True,
    ) -> Variant:
        """Return what is measured with this instrumentation."""
        return Variant(
            work=self.work,
            client=client,
            instrumentation=instrumentation,
            sampled=self.sampled,
            encoded=self.encoded,
            metrics=self.metrics or instrumentation != "ours",
            flat=flat,
        )

    def variants(self, elsewhere: Iterable[Client] = ()) -> list[Variant]:
        """Return everything that the row needs, in the order of measuring.

        Args:
            elsewhere: The other clients that are installed with their telemetry.
        """
        ours, official = self.variant("ours"), self.variant("official")
        wanted = [ours.bare, ours, official]
        if self.flat_off:
            wanted.append(self.variant("ours", flat=False))
        if self.least:
            wanted.append(self.variant("official, least"))
        if self.elsewhere:
            for client in elsewhere:
                theirs = self.variant("official", client=client)
                wanted += [theirs.bare, theirs]
        return wanted


TOPICS: Final = 1000

ROWS: Final = (
    Row(
        name="sampled",
        title="all sampled",
        encoded=False,
        goal=0.18,
        flat_off=True,
        elsewhere=True,
    ),
    Row(
        name="encoded",
        title="all sampled, OTLP encoded",
        goal=0.12,
        flat_off=True,
        elsewhere=True,
    ),
    Row(
        name="unsampled",
        title="none sampled",
        sampled=0.0,
        encoded=False,
        goal=0.30,
        flat_off=True,
        elsewhere=True,
    ),
    Row(
        name="attributes",
        title="handler sets three attributes",
        work=Work(attributes=True),
        goal=0.15,
        least=True,
        flat_off=True,
    ),
    Row(
        name="forwarded",
        title="typed event, handled and forwarded",
        work=Work(forwards=True),
        goal=0.15,
        least=True,
        flat_off=True,
    ),
    Row(name="ratio", title="5 % sampled", sampled=0.05, flat_off=True),
    Row(name="headers", title="three headers of the application", work=Work(headers=True)),
    Row(name="process", title="getone and process()", work=Work(reading="process")),
    Row(name="consume", title="consume()", work=Work(reading="consume")),
    Row(name="batch", title="getmany and process_batch()", work=Work(reading="batch")),
    Row(name="topics", title=f"{TOPICS:,} topics in turns", work=Work(topics=TOPICS)),
    # The same as `encoded`, and measured once, if both are chosen.
    Row(name="batch-16k", title="max_batch_size=16384"),
    Row(name="batch-64k", title="max_batch_size=65536", work=Work(max_batch_size=65_536)),
    Row(name="no-metrics", title="all sampled, no metrics", encoded=False, metrics=False),
)


def chosen(names: Iterable[str]) -> tuple[Row, ...]:
    """Return the rows of these names, in the order of the table; all rows without names.

    Raises:
        ValueError: There is no such row; the message lists all of them.
    """
    wanted = set(names)
    unknown = wanted - {row.name for row in ROWS}
    if unknown:
        known = ", ".join(row.name for row in ROWS)
        raise ValueError(f"no such row: {', '.join(sorted(unknown))}; the rows are {known}")
    return tuple(row for row in ROWS if not wanted or row.name in wanted)
