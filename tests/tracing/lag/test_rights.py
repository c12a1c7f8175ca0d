"""The rights of a plain consumer are enough, and a missing one is reported."""

from __future__ import annotations

import asyncio
import json
from time import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.tracing.lag.guarded import (
    CLUSTER,
    DESCRIBE,
    DESCRIBE_CONFIGS,
    GROUP,
    READ,
    TOPIC,
    GuardedKafka,
)
from tests.tracing.lag.scene import Scene
from tracing.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.kafka, pytest.mark.integration]


@pytest.mark.usefixtures("java")
async def test_each_missing_right_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with GuardedKafka() as kafka:
        scene = Scene(kafka.bootstrap_servers)
        await scene.create(retention_ms="600000", retention_bytes="1000000")
        await scene.produce(int((time() - 60) * 1000))
        await scene.commit({0: 0})
        config = kafka.command_config(tmp_path)

        async def lag(*more: str) -> tuple[int, str, str]:
            code = await asyncio.to_thread(
                main,
                ["lag", "--bootstrap-servers", kafka.guarded_servers,
                 "--command-config", str(config), "--json", *more],
            )  # fmt: skip
            captured = capsys.readouterr()
            return code, captured.out, captured.err

        async def granted(kind: int, name: str, operation: int) -> None:
            await kafka.grant(kind, name, operation)
            # The broker applies it a moment later.
            await asyncio.sleep(0.5)

        def partition(out: str) -> dict[str, Any]:
            (part,) = json.loads(out)["groups"][0]["partitions"]
            return dict(part)

        named = ("--group", scene.group, "--topic", scene.topic)
        code, out, error = await lag(*named)
        assert (1, "") == (code, out)
        assert f"tracing: the cluster does not allow Describe on group {scene.group}\n" == error

        await granted(GROUP, scene.group, DESCRIBE)
        code, out, error = await lag(*named)
        assert (1, "") == (code, out)
        assert f"tracing: the cluster does not allow Describe on topic {scene.topic}\n" == error

        await granted(TOPIC, scene.topic, DESCRIBE)
        code, out, error = await lag(*named)
        assert 0 == code
        assert [f"Read on topic {scene.topic}"] == json.loads(out)["missing_rights"]
        assert (1, None, False) == tuple(partition(out)[name] for name in ("lag", "lag_s", "exact"))

        await granted(TOPIC, scene.topic, READ)
        code, out, error = await lag()
        assert 0 == code
        assert [] == json.loads(out)["missing_rights"]
        assert (1, True) == tuple(partition(out)[name] for name in ("lag", "exact"))
        assert partition(out)["lag_s"] == pytest.approx(60, abs=30)
        # A plain consumer lacks these rights, and misses only the figures that need them.
        assert partition(out)["retention"] is None
        right = f"DescribeConfigs on topic {scene.topic}"
        assert [right] == json.loads(out)["unknown_retention"]

        await granted(TOPIC, scene.topic, DESCRIBE_CONFIGS)
        code, out, error = await lag()
        assert 0 == code
        assert ["Describe on cluster"] == json.loads(out)["unknown_retention"]
        assert partition(out)["retention"]["used"] == pytest.approx(0.1, abs=0.05)

        await granted(CLUSTER, "kafka-cluster", DESCRIBE)
        code, out, error = await lag()
        assert 0 == code
        assert [] == json.loads(out)["unknown_retention"]
