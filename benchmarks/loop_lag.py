"""Measure event-loop lag with bare clients, and with ours without and with export, in turns.

`python -m benchmarks.loop_lag` sends and handles 2,000 messages a second through the embedded
broker. Every span is sampled and exported over OTLP to a collector in another process. Where the
system can pin processes, the client has a CPU, and the broker and the collector another. The result
is how late a sleeping task wakes up: compare the variants, because a busy machine makes all values
worse. The difference to bare clients is taken in every round. The exit code is 1 if its median is
above `--limit`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.machine import pin, two_cpus
from demo_pipeline.broker import EmbeddedBroker, create_topics

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT: Final = Path(__file__).resolve().parent.parent
_TOPIC: Final = "lag"
_EXPORTERS: Final = ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER")
_TICK_S: Final = 0.01
_PROBE_S: Final = 0.005
_WARM_UP_S: Final = 2.0
_BARE: Final = "bare"
_NOT_EXPORTED: Final = "ours, not exported"
_OURS: Final = "ours"
_VARIANTS: Final = (_BARE, _NOT_EXPORTED, _OURS)


class _AcceptAll(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Accept a request."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def _collect() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _AcceptAll)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


@contextmanager
def _collector() -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.loop_lag", "--collector"]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - ourselves
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


async def _probe(lags: list[float], until: float) -> None:
    loop = asyncio.get_running_loop()
    while (asked := loop.time() + _PROBE_S) < until:
        await asyncio.sleep(_PROBE_S)
        lags.append(loop.time() - asked)


async def _handle(consumer: Any, messages: int) -> None:
    async for _ in consumer:
        messages -= 1
        if not messages:
            break


async def _one(variant: str, servers: str, rate: int, seconds: float) -> list[float]:
    """Run one variant, and return the loop's lags after a warm-up, in seconds."""
    producer: Any = AIOKafkaProducer(bootstrap_servers=servers)
    consumer: Any = AIOKafkaConsumer(_TOPIC, bootstrap_servers=servers, fetch_max_wait_ms=10)
    providers: Any = None
    if variant != _BARE:
        import tracing  # noqa: PLC0415 - bare clients must not load it
        from tracing import otlp  # noqa: PLC0415 - as above

        providers = otlp.configure("loop-lag")
        telemetry = providers.telemetry("lag")
        producer = tracing.TracedProducer(producer, telemetry)
        consumer = tracing.TracedConsumer(consumer, telemetry, group="lag")
    loop = asyncio.get_running_loop()
    ticks = int((seconds + _WARM_UP_S) / _TICK_S)
    burst = int(rate * _TICK_S)
    lags: list[float] = []
    async with producer, consumer:
        handled = asyncio.create_task(_handle(consumer, ticks * burst))
        # Let the consumer find the current end of the topic before anything is sent.
        await asyncio.sleep(1)
        begin = loop.time()
        probing: asyncio.Task[None] | None = None
        for tick in range(ticks):
            if probing is None and loop.time() > begin + _WARM_UP_S:
                probing = asyncio.create_task(_probe(lags, begin + _WARM_UP_S + seconds))
            for _ in range(burst):
                await producer.send(_TOPIC, b"x" * 100)
            await asyncio.sleep(max(0.0, begin + (tick + 1) * _TICK_S - loop.time()))
        await asyncio.wait_for(handled, 60)
    if providers is not None:
        lost = providers.account.losses()
        await asyncio.to_thread(providers.shutdown, 30)
        if any(lost.values()):
            sys.exit(f"telemetry was lost, so the result is invalid: {lost}")
    return lags


def _run(
    variant: str, servers: str, url: str, rate: int, seconds: float, cpu: int | None
) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.loop_lag", "--one", variant, "--servers", servers]
    command += ["--rate", str(rate), "--seconds", str(seconds)]
    if cpu is not None:
        command += ["--cpu", str(cpu)]
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": url}
    if variant == _NOT_EXPORTED:
        environment |= dict.fromkeys(_EXPORTERS, "none")
    done = subprocess.run(  # noqa: S603 - ourselves
        command, check=False, capture_output=True, text=True, cwd=_ROOT, env=environment
    )
    if done.returncode:
        sys.exit(f"{variant} failed:\n{done.stderr}")
    lags: list[float] = json.loads(done.stdout)
    return lags


async def _compare(rate: int, seconds: float, rounds: int) -> dict[str, list[list[float]]]:
    """Measure all variants in turns; return the lags of each round, in seconds."""
    cpus = two_cpus()
    if cpus is not None:
        pin(cpus[0])
    lags: dict[str, list[list[float]]] = {variant: [] for variant in _VARIANTS}
    with _collector() as url:
        async with EmbeddedBroker() as broker:
            servers = broker.bootstrap_servers
            await create_topics(servers, {_TOPIC: 1})
            for number in range(rounds):
                for variant in _VARIANTS if number % 2 == 0 else reversed(_VARIANTS):
                    print(f"round {number + 1}/{rounds}: {variant}", file=sys.stderr)
                    cpu = None if cpus is None else cpus[1]
                    lag = await asyncio.to_thread(_run, variant, servers, url, rate, seconds, cpu)
                    lags[variant].append(lag)
    return lags


def _print(lags: dict[str, list[list[float]]]) -> None:
    print(f"{'event-loop lag, ms':20}{'p50':>8}{'p99':>8}{'max':>8}")
    for variant, rounds in lags.items():
        values = [value for lag in rounds for value in lag]
        ms = [quantile(values, share) * 1000 for share in (0.5, 0.99, 1.0)]
        print(f"{variant:20}" + "".join(f"{value:8.1f}" for value in ms))
    for variant in (_NOT_EXPORTED, _OURS):
        added = added_ms(lags, variant)
        print(
            f"p99, {variant}, over bare: {statistics.median(added):+.1f} ms "
            f"({min(added):+.1f} to {max(added):+.1f})"
        )


def added_ms(lags: dict[str, list[list[float]]], variant: str) -> list[float]:
    """Return by how much the p99 of a variant is above that of bare clients, round by round."""
    return [
        (quantile(with_, 0.99) - quantile(bare, 0.99)) * 1000
        for with_, bare in zip(lags[variant], lags[_BARE], strict=True)
    ]


def quantile(values: list[float], share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=2000, help="messages a second")
    parser.add_argument("--seconds", type=float, default=10.0, help="duration of each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=10.0, help="ms that p99 may be over bare")
    parser.add_argument("--collector", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--one", choices=_VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--servers", help=argparse.SUPPRESS)
    parser.add_argument("--cpu", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.collector:
        _collect()
        return
    if options.one:
        if options.cpu is not None:
            pin(options.cpu)
        print(
            json.dumps(
                asyncio.run(_one(options.one, options.servers, options.rate, options.seconds))
            )
        )
        return
    lags = asyncio.run(_compare(options.rate, options.seconds, options.rounds))
    _print(lags)
    if statistics.median(added_ms(lags, _OURS)) > options.limit:
        sys.exit(f"error: p99 is more than {options.limit:g} ms over that of bare clients")


if __name__ == "__main__":
    main()
