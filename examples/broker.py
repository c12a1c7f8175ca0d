"""A Kafka for the examples, without Kafka: run `python -m examples.broker`, until Ctrl-C."""

import asyncio
import signal

from demo_pipeline.broker import EmbeddedBroker


async def main() -> None:
    """Run the demo's embedded broker, and print how to use it."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with EmbeddedBroker() as broker:
        print(f"export KAFKA_BOOTSTRAP_SERVERS={broker.bootstrap_servers}", flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
