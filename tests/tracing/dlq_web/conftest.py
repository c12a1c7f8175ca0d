"""Dead letters on each broker, and a browser that looks at them."""

from __future__ import annotations

import asyncio

import pytest

from tests.tracing.dlq.cluster import Cluster
from tests.tracing.dlq_web.browsing import Browser
from tracing import Telemetry


@pytest.fixture(params=["embedded_servers", pytest.param("kafka_servers", marks=pytest.mark.kafka)])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    cluster = Cluster(request.getfixturevalue(request.param))
    asyncio.run(cluster.fill())
    return cluster


@pytest.fixture
def browser(cluster: Cluster) -> Browser:
    """Return a browser at a server that may replay."""
    return Browser(cluster.servers, telemetry=Telemetry("dead-letters"))
