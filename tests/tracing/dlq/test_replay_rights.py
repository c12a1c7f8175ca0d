"""Which rights remember a replay, and what happens without them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from tests.tracing.dlq.cluster import Cluster
from tests.tracing.lag.guarded import DESCRIBE, READ, TOPIC, GuardedKafka
from tracing.__main__ import main
from tracing.delivery.dead_letter_names import REPLAY_TOPIC

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.kafka, pytest.mark.integration]

WRITE = 4


@pytest.mark.usefixtures("java")
async def test_without_a_right_nothing_is_sent_and_nothing_false_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with GuardedKafka() as kafka:
        cluster = Cluster(kafka.bootstrap_servers)
        await cluster.fill()
        config = kafka.command_config(tmp_path)
        first, second = f"{cluster.of_payment}/0/0", f"{cluster.of_payment}/0/1"

        async def dlq(*arguments: str) -> tuple[int, str, str]:
            code = await asyncio.to_thread(
                main,
                ["dlq", *arguments, "--bootstrap-servers", kafka.guarded_servers,
                 "--command-config", str(config)],
            )  # fmt: skip
            captured = capsys.readouterr()
            return code, captured.out, captured.err

        async def granted(name: str, *operations: int) -> None:
            for operation in operations:
                await kafka.grant(TOPIC, name, operation)
            # The broker applies it a moment later.
            await asyncio.sleep(0.5)

        await granted(cluster.of_payment, READ)
        await granted(cluster.topic, DESCRIBE, READ, WRITE)
        listing = ("list", "--topic", cluster.of_payment)

        code, out, _ = await dlq(*listing, "--json")
        document = json.loads(out)
        assert (0, 3, None, None) == (
            code,
            document["letters"],
            document["replayed"],
            document["groups"][0]["perhaps_replayed"],
        )
        assert f"Describe on topic {REPLAY_TOPIC}" in document["replays_unknown"]
        assert "whether dead letters were replayed is unknown" in (await dlq(*listing))[1]
        assert 1 == (await dlq(*listing, "--fail-if-any"))[0]
        code, _, error = await dlq("replay", "--id", second)
        assert 1 == code
        assert "what was replayed cannot be read" in error
        code, _, error = await dlq("replay", "--id", second, "--yes")
        assert 1 == code
        assert "replays are not remembered" in error
        assert [] == await cluster.records()

        # Another operator replays.
        assert 0 == await asyncio.to_thread(cluster.run, "replay", "--id", first)
        await granted(REPLAY_TOPIC, DESCRIBE)
        code, out, _ = await dlq(*listing, "--json")
        document = json.loads(out.partition("topic\n")[2])
        assert (0, None) == (code, document["replayed"])
        assert "TopicAuthorizationFailedError" in document["replays_unknown"]
        await granted(REPLAY_TOPIC, READ)
        code, out, _ = await dlq(*listing, "--json")
        assert (0, 1) == (code, json.loads(out)["replayed"])
        code, out, error = await dlq("replay", "--id", second)
        assert 1 == code
        assert "0 dead letters replayed" in out
        assert "write to the source topic and --replay-topic" in error
        assert 1 == len(await cluster.records())
        await granted("own-replays", READ, WRITE)
        code, _, error = await dlq("replay", "--id", second, "--replay-topic", "own-replays")
        assert 1 == code
        assert "create it with one partition and cleanup.policy=compact" in error
        assert 1 == len(await cluster.records())

        await granted(REPLAY_TOPIC, WRITE)
        assert 0 == (await dlq("replay", "--id", second))[0]
        _, out, _ = await dlq(*listing, "--json")
        assert 2 == json.loads(out)["replayed"]
