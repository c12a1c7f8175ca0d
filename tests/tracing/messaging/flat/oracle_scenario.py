"""What a scenario is: how telemetry is set up, which records there are, and what handlers do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Step = tuple[Any, ...]
"""What code does next: the name of a step, and its arguments. `oracle_steps` lists them."""
Reading = Literal[
    "for", "break", "anext", "wait_for", "getone", "getmany", "batch", "batches", "batch_again",
    "consume", "nested", "concurrent", "manual",
]  # fmt: skip
"""How records are read and handled."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """A record to send, or one that others sent.

    Attributes:
        shape: The kind of collection that its headers are.
        how: Whether the acknowledgement is awaited at once, later, cancelled, or never comes.
    """

    topic: str = "orders"
    value: bytes | None = b"v"
    key: bytes | None = None
    headers: tuple[Any, ...] | None = None
    partition: int | None = None
    timestamp_ms: int | None = None
    shape: Literal["list", "tuple", "iterator"] = "list"
    how: Literal["wait", "future", "cancel", "fail"] = "wait"


@dataclass(frozen=True, kw_only=True)
class Setup:
    """How the service is set up; all by name, so that every run makes its own objects."""

    sampler: str = "parent_on"
    ids: str = "random"
    propagator: str = "default"
    processors: tuple[str, ...] = ("simple",)
    limits: str = "default"
    aggregator: bool = True
    options: dict[str, Any] = field(default_factory=dict)
    group: str | None = "shipping"
    client_id: str | None = None
    ambient: str = "none"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What happens.

    Attributes:
        before: What the service does first.
        records: What others have sent.
        handlers: What the handler of each record does, in turn; of the second one from the second.
        reading: How the records are read.
        after: What the service does last.
    """

    setup: Setup = field(default_factory=Setup)
    before: tuple[Step, ...] = ()
    records: tuple[Message, ...] = ()
    handlers: tuple[tuple[Step, ...], ...] = ((),)
    reading: Reading = "for"
    after: tuple[Step, ...] = ()
