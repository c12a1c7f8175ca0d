"""A Kafka for the examples, without Kafka: run `python -m examples.broker`, until Ctrl-C."""

import asyncio
import signal
import sys
from contextlib import suppress

try:
    from demo_pipeline.broker import BrokerError, EmbeddedBroker
except ModuleNotFoundError as missing:
    sys.exit(f"{missing}: activate the environment of the checkout, PATH/TO/CHECKOUT/.venv")

GRACE_S = 2.0


async def main() -> None:
    """Run the demo's embedded broker, and print how to use it.

    After Ctrl-C it goes on for a moment: services that end with it still commit and leave their
    groups. A second Ctrl-C, or SIGTERM, ends it at once.
    """
    asked, at_once = asyncio.Event(), asyncio.Event()

    def interrupt() -> None:
        (at_once if asked.is_set() else asked).set()

    def terminate() -> None:
        asked.set()
        at_once.set()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, interrupt)
    loop.add_signal_handler(signal.SIGTERM, terminate)
    async with EmbeddedBroker() as broker:
        print(f"export KAFKA_BOOTSTRAP_SERVERS={broker.bootstrap_servers}", flush=True)
        await asked.wait()
        if not at_once.is_set():
            print(f"The broker ends in {GRACE_S:g} s.", file=sys.stderr, flush=True)
        with suppress(TimeoutError):
            await asyncio.wait_for(at_once.wait(), GRACE_S)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except BrokerError as error:
        sys.exit(f"{error}")
