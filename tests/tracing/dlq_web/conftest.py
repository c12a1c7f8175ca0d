"""Dead letters on each broker."""

from __future__ import annotations

import asyncio

import pytest

from tests.tracing.dlq.cluster import Cluster


@pytest.fixture(params=["embedded_servers", pytest.param("kafka_servers", marks=pytest.mark.kafka)])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    cluster = Cluster(request.getfixturevalue(request.param))
    asyncio.run(cluster.fill())
    return cluster
