"""Measure what an order costs in the demo: SQL statements, commits and CPU time.

`python -m benchmarks.demo` runs all services of the demo in this process, with the embedded broker
in another one, and counts from the first order placed to the end of the last one. Statements and
commits depend on the program alone, apart from work that timers start. CPU time is that of this
process, customers included; a machine with a free core handles as many orders a second as the
inverse of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Engine, event

from demo_pipeline.app.load import Load
from demo_pipeline.app.run import RunOptions, run
from demo_pipeline.runtime.scenarios import SCENARIOS, STEADY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

_READS: Final = ("SELECT", "PRAGMA", "WITH")
_WROTE: Final = "benchmarks.demo: wrote"
_PLACING: Final = "placing orders"
_STOPPING: Final = "stopping the services"


@dataclass(frozen=True, slots=True)
class Statements:
    """The statements of all databases, counted by SQLAlchemy's events.

    Attributes:
        executed: Statements by service and text.
        committed: Commits of transactions that wrote, by service.
        read: Other transactions, by service.
    """

    executed: Counter[tuple[str, str]] = field(default_factory=Counter)
    committed: Counter[str] = field(default_factory=Counter)
    read: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count during the block."""
        hooks: dict[str, Callable[..., None]] = {
            "before_cursor_execute": self._execute,
            "commit": self._end,
            "rollback": self._end,
        }
        for name, hook in hooks.items():
            event.listen(Engine, name, hook)
        try:
            yield
        finally:
            for name, hook in hooks.items():
                event.remove(Engine, name, hook)

    def _execute(self, connection: Connection, _cursor: object, text: str, *_: object) -> None:
        self.executed[_service(connection), " ".join(text.split())] += 1
        connection.info[_WROTE] = connection.info.get(_WROTE) or not text.startswith(_READS)

    def _end(self, connection: Connection) -> None:
        if connection.invalidated:
            # It was cut off, and has no state to ask.
            return
        ended = self.committed if connection.info.pop(_WROTE, False) else self.read
        ended[_service(connection)] += 1


@dataclass(slots=True)
class Figures:
    """What a run cost, from the first order placed to the end of the last one.

    Attributes:
        orders: The number of orders.
        seconds: How long it took.
        cpu_s: CPU time of this process.
        loop_cpu_s: That of the event loop's thread.
        statements: Statements by service.
        commits: Commits of transactions that wrote, by service.
        reads: Transactions that only read, by service.
        texts: The most frequent statements with their service, and how often each was executed.
        problems: Why the figures are not valid.
    """

    orders: int
    seconds: float = 0.0
    cpu_s: float = 0.0
    loop_cpu_s: float = 0.0
    statements: dict[str, int] = field(default_factory=dict)
    commits: dict[str, int] = field(default_factory=dict)
    reads: dict[str, int] = field(default_factory=dict)
    texts: list[tuple[str, str, int]] = field(default_factory=list)
    problems: tuple[str, ...] = ()

    def per_order(self) -> dict[str, float]:
        """Return the figures per order, and how many orders a core handles in a second."""
        return {
            "statements": sum(self.statements.values()) / self.orders,
            "commits": sum(self.commits.values()) / self.orders,
            "reads": sum(self.reads.values()) / self.orders,
            "cpu_ms": 1000 * self.cpu_s / self.orders,
            "loop_cpu_ms": 1000 * self.loop_cpu_s / self.orders,
            "orders_per_s": self.orders / self.seconds,
            "orders_per_cpu_s": self.orders / self.cpu_s,
        }


class _Watch:
    """Measures between two steps of a run."""

    def __init__(self, figures: Figures, most_texts: int) -> None:
        self._figures, self._most_texts = figures, most_texts
        self._counted = Statements()
        self._counting = self._counted.counted()
        self._began = (0.0, 0.0, 0.0)

    def step(self, what: str) -> None:
        """Begin to measure, or end."""
        now = (time.monotonic(), time.process_time(), time.thread_time())
        if what == _PLACING:
            self._began = now
            self._counting.__enter__()
        elif what == _STOPPING:
            self._counting.__exit__(None, None, None)
            figures, counted = self._figures, self._counted
            figures.seconds, figures.cpu_s, figures.loop_cpu_s = (
                after - before for before, after in zip(self._began, now, strict=True)
            )
            for (service, _), number in counted.executed.items():
                figures.statements[service] = figures.statements.get(service, 0) + number
            figures.commits, figures.reads = dict(counted.committed), dict(counted.read)
            figures.texts = [
                (*each, number) for each, number in counted.executed.most_common(self._most_texts)
            ]

    def placed(self) -> None:
        """Measure nothing."""

    def ended(self, orders: int) -> None:
        """Measure nothing."""


async def measure(options: argparse.Namespace) -> Figures:
    """Run once; raise if the run could not start, or a service failed."""
    load = Load(orders=options.orders, rate=options.rate, seed=1)
    figures = Figures(options.orders)
    outcome = await run(
        RunOptions(
            load=load,
            scenario=options.scenario,
            bootstrap_servers=options.bootstrap_servers,
            kafka=False,
            http_port=0,
            timeout_s=options.timeout,
        ),
        _Watch(figures, options.texts),
    )
    figures.problems = outcome.problems
    return figures


def _service(connection: Connection) -> str:
    return Path(connection.engine.url.database or "").stem


def _show(figures: Figures) -> None:
    print(f"{figures.orders} orders in {figures.seconds:.1f} s")
    print(f"{'per order':16}{'statements':>12}{'commits':>12}{'only reads':>12}")
    counts = (figures.statements, figures.commits, figures.reads)
    rows = {name: [count.get(name, 0) for count in counts] for name in sorted(figures.statements)}
    for name, row in {**rows, "all": [sum(count.values()) for count in counts]}.items():
        print(f"{name:16}" + "".join(f"{number / figures.orders:12.2f}" for number in row))
    each = figures.per_order()
    print(f"CPU per order     {each['cpu_ms']:7.1f} ms, {each['loop_cpu_ms']:.1f} ms in the loop")
    print(f"orders a second   {each['orders_per_s']:7.1f}")
    print(f"orders per CPU-s  {each['orders_per_cpu_s']:7.1f}")
    for service, text, number in figures.texts:
        print(f"{number / figures.orders:7.2f}  {service:12}  {text}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=100)
    parser.add_argument("--rate", type=float, default=10.0, help="orders a second")
    parser.add_argument("--scenario", choices=tuple(SCENARIOS), default=STEADY)
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds, as in `run`")
    parser.add_argument("--bootstrap-servers", help="by default an embedded broker")
    parser.add_argument("--texts", type=int, default=0, help="how many statements to list")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    figures = asyncio.run(measure(options))
    if options.json:
        result: dict[str, Any] = {**asdict(figures), "per_order": figures.per_order()}
        print(json.dumps(result))
    else:
        _show(figures)
    if figures.problems:
        sys.exit("\n".join(figures.problems))


if __name__ == "__main__":
    main()
