"""What tests of several parts need."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from demo_pipeline.broker import EmbeddedBroker, KafkaCluster
from demo_pipeline.broker.kafka_jars import missing_tools
from tests.brokers import staying, unavailable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from tests.scheduling import Scheduling


def pytest_configure() -> None:
    """Restore the default action of SIGINT, which `nohup` and some CI runners ignore.

    Programs inherit an ignored signal, and the ones that tests start are stopped by it.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    """Give out the tests among several processes, in the order in which they are collected."""
    from tests.scheduling import Scheduling  # noqa: PLC0415 - only where there are several

    # The load takes longest, and so comes early.
    config.option.loadscopereorder = False
    return Scheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, object, object]:
    """Let a report travel to the process that prints it, whatever was logged."""
    from tests.scheduling import utf8  # noqa: PLC0415 - only where there are several processes

    return utf8((yield))


@pytest.fixture(scope="session")
def embedded_servers() -> Iterator[str]:
    """The embedded broker."""
    with staying(EmbeddedBroker) as servers:
        yield servers


@pytest.fixture(scope="session")
def java() -> None:
    """What it takes to run Kafka is there."""
    missing = missing_tools()
    if missing is not None:
        unavailable(missing)


@pytest.fixture(scope="session")
def kafka_servers(java: None) -> Iterator[str]:
    """Apache Kafka, one node."""
    with staying(KafkaCluster) as servers:
        yield servers
