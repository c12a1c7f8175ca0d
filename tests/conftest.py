"""Fixtures and hooks for the tests of several packages."""

from __future__ import annotations

import gc
import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from demo_pipeline.broker import EmbeddedBroker, KafkaCluster
from demo_pipeline.broker.apicurio import APICURIO
from demo_pipeline.broker.kafka_jars import KAFKA
from tests.brokers import running_broker, running_registry, unavailable
from tests.browser.chromium import new_page, running_chromium
from tests.reports import plain_report, utf8

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from tests.browser.chromium import Browser, Page
    from tests.scheduling import Scheduling


def pytest_configure() -> None:
    """Prepare the process for all tests.

    Restore the default action of SIGINT, which `nohup` and some CI runners ignore: programs inherit
    an ignored signal, and the tests stop their programs with SIGINT.

    Choose the stable HTTP conventions, as the demo does: in a process with several
    instrumentations, the first one to be made decides.
    """
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # On a busy machine any example may take long; no test is about time.
    settings.register_profile("untimed", deadline=None)
    settings.load_profile("untimed")


def pytest_collection_finish() -> None:
    """Hide the thousands of collected tests from the garbage collector, which slow every test."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    """Divide the tests among several processes, in the order of their collection."""
    from tests.scheduling import Scheduling  # noqa: PLC0415 - only with several processes

    # The load tests take longest, so they start early.
    config.option.loadscopereorder = False
    return Scheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, object, object]:
    """Make a report safe to send to the process that prints it."""
    return utf8((yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail one test, and not the whole run, if its error cannot be shown."""
    try:
        return (yield)
    except Exception as fault:
        return plain_report(item, call, fault)


@pytest.fixture(scope="session")
def embedded_servers() -> Iterator[str]:
    """Return the bootstrap servers of the embedded broker."""
    with running_broker(EmbeddedBroker) as servers:
        yield servers


@pytest.fixture(scope="session")
def java() -> None:
    """Skip the test, or fail it in CI, if the tools that run Kafka are missing."""
    missing = KAFKA.missing_tools()
    if missing is not None:
        unavailable(missing)


@pytest.fixture(scope="session")
def kafka_servers(java: None) -> Iterator[str]:
    """Return the bootstrap servers of a one-node Apache Kafka."""
    with running_broker(KafkaCluster) as servers:
        yield servers


@pytest.fixture(scope="session")
def registry_url() -> Iterator[str]:
    """Return the URL of an Apicurio Registry, which all tests share.

    Its tests stand in `tests/demo_pipeline/registry`, which one process runs, so that only one
    registry is started.
    """
    missing = APICURIO.missing_tools()
    if missing is not None:
        unavailable(missing)
    with running_registry() as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return Chromium, which the tests of one file share."""
    with running_chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Return a new tab; see `tests/browser/chromium.py`."""
    with new_page(browser) as page:
        yield page
