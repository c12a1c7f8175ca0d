"""Measure many variants in turns, each in a fresh process, so that they meet the same machine."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.machine import pin
from benchmarks.overhead.application import partitions_of
from benchmarks.overhead.measure import cost_from
from demo_pipeline.broker import EmbeddedBroker, create_topics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.overhead.measure import Cost
    from benchmarks.overhead.rows import Row, Variant

ROOT: Final = Path(__file__).resolve().parents[2]
_TIMEOUT_S: Final = 300
_ERROR_LINES: Final = 15

Costs = dict["Variant", list["Cost"]]
"""The costs of each variant, one for each round."""


class MeasurementError(Exception):
    """A measurement failed; the message has the end of what it printed."""


def variants_of(rows: Iterable[Row], elsewhere: Sequence[str] = ()) -> list[Variant]:
    """Return what the rows need, each once: rows share what they are compared with."""
    wanted: dict[Variant, None] = {}
    for row in rows:
        wanted |= dict.fromkeys(row.variants(elsewhere))  # type: ignore[arg-type]  # names of clients
    return list(wanted)


def order_of(variants: Sequence[Variant], round_number: int) -> list[Variant]:
    """Return the order of a round: every other round runs backwards.

    What a variant finds, such as a warm machine, then does not depend on its place.
    """
    return list(reversed(variants)) if round_number % 2 else list(variants)


async def compare(
    variants: Sequence[Variant],
    *,
    messages: int,
    rounds: int,
    cpus: tuple[int, int] | None,
    report: Callable[[str], None],
) -> Costs:
    """Measure the variants, all of them in every round, and each round with a new broker.

    Args:
        variants: What to measure.
        messages: How many messages each measurement sends.
        rounds: How often each variant is measured.
        cpus: The CPU of the broker and that of the clients; `None` leaves both to the system.
        report: Receives the progress.

    Raises:
        MeasurementError: A variant failed.
        demo_pipeline.runtime.errors.BrokerError: The broker does not start.
    """
    if cpus is not None:
        pin(cpus[0])
    costs: Costs = {variant: [] for variant in variants}
    for number in range(rounds):
        # A broker that keeps all messages in memory is not asked to keep those of all rounds.
        async with EmbeddedBroker() as broker:
            servers = broker.bootstrap_servers
            for place, variant in enumerate(order_of(variants, number), 1):
                # Its own topics have no messages of others, which would be old and so special.
                topic = f"bench-{place}"
                await create_topics(servers, partitions_of(variant.work, topic))
                cpu = None if cpus is None else cpus[1]
                cost = await asyncio.to_thread(run, variant, servers, topic, messages, cpu)
                costs[variant].append(cost)
                report(
                    f"round {number + 1}/{rounds}, {place}/{len(variants)}: "
                    f"{cost.cpu_us:6.1f} µs  {variant.name}  {described(variant)}"
                )
    return costs


def run(variant: Variant, servers: str, topic: str, messages: int, cpu: int | None) -> Cost:
    """Measure a variant in a fresh process.

    Raises:
        MeasurementError: It failed.
    """
    command = [sys.executable, "-m", "benchmarks.overhead.measure", json.dumps(asdict(variant))]
    command += ["--servers", servers, "--topic", topic, "--messages", str(messages)]
    if cpu is not None:
        command += ["--cpu", str(cpu)]
    try:
        done = subprocess.run(  # noqa: S603 - ourselves
            command,
            check=False,
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise MeasurementError(f"{variant.name} took more than {_TIMEOUT_S} s") from None
    if done.returncode:
        tail = "\n".join(done.stderr.splitlines()[-_ERROR_LINES:])
        raise MeasurementError(f"{variant.name}, {described(variant)} failed:\n{tail}")
    return cost_from(json.loads(done.stdout))


def described(variant: Variant) -> str:
    """Return what differs in a variant from sending and receiving plain messages."""
    work = variant.work
    parts = [
        "" if variant.instrumentation == "none" else f"{variant.sampled:.0%} sampled",
        "encoded" if variant.encoded else "",
        "" if variant.metrics else "no metrics",
        "" if work.reading == "iterate" else work.reading,
        "headers" if work.headers else "",
        "attributes" if work.attributes else "",
        "forwarded" if work.forwards else "",
        "" if work.topics == 1 else f"{work.topics} topics",
    ]
    parts.append(f"{work.max_batch_size // 1024} KiB batches")
    return ", ".join(part for part in parts if part)
