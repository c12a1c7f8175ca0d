"""Measure how fast `serve` answers `/health` with many half-open requests.

`python -m benchmarks.half_open` starts the embedded broker and `serve orders`. It opens 400
connections that send the head of a POST but never the body. Meanwhile it requests `/health` on
other connections.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack

from demo_pipeline.broker import EmbeddedBroker

_HALF = b"POST /orders HTTP/1.1\r\nhost: shop\r\ncontent-length: 500\r\n\r\n{"
_HEALTH = b"GET /health HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n"


async def main() -> None:
    """Measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half-open", type=int, default=400)
    parser.add_argument("--requests", type=int, default=200)
    options = parser.parse_args()
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(EmbeddedBroker())
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "demo_pipeline", "serve", "orders"),
            *("--bootstrap-servers", broker.bootstrap_servers),
            cwd=folder,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            ready = (await process.stdout.readline()).decode() if process.stdout else ""
            port = int(ready.rpartition(":")[2])
            print(f"without: {_figures(await _health(port, options.requests))}")
            for _ in range(options.half_open):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                stack.callback(writer.close)
                writer.write(_HALF)
            print(
                f"under {options.half_open} half-open posts: "
                f"{_figures(await _health(port, options.requests))}"
            )
        finally:
            process.terminate()
            await process.wait()


async def _health(port: int, requests: int) -> list[float]:
    took = []
    for _ in range(requests):
        started = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_HEALTH)
        answer = await reader.read()
        took.append((time.perf_counter() - started) * 1000)
        writer.close()
        if not answer.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"/health answered {answer[:40]!r}")
    return took


def _figures(took: list[float]) -> str:
    p99 = statistics.quantiles(took, n=100)[98]
    return f"p50 {statistics.median(took):.1f} ms, p99 {p99:.1f} ms, max {max(took):.1f} ms"


if __name__ == "__main__":
    asyncio.run(main())
