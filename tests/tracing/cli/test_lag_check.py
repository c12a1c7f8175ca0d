"""`lag --fail-if-over`: a check for cron and CI, which nothing unknown passes."""

from __future__ import annotations

import asyncio
import json
from time import time
from typing import Any

import pytest

from tests.tracing.lag.scene import Scene
from tracing.__main__ import main
from tracing.cli.lag_check import LagCheck
from tracing.lag import GroupLag, PartitionLag, Status, Sweep


def group(name: str, *lags_s: float | None, abandoned: float | None = None) -> GroupLag:
    parts = [(lag_s, Status.OK) for lag_s in lags_s]
    parts += [] if abandoned is None else [(abandoned, Status.ABANDONED)]
    partitions = tuple(
        PartitionLag("orders", number, 0, 1, 1, lag_s, True, False, status)
        for number, (lag_s, status) in enumerate(parts)
    )
    return GroupLag(name, "Empty", 0, partitions, None)


def checked(*groups: GroupLag, **unknown: Any) -> LagCheck:
    return LagCheck.of(Sweep(0.0, 0.0, groups, **unknown), 60.0)


@pytest.mark.parametrize(
    ("sweep", "text"),
    [
        (checked(group("payment", 0.0, 60.0)), ""),
        (checked(group("payment", 1.0, 61.0), group("b", 1.0)), "over 60.0 s: payment (61.0 s)"),
        (
            checked(group("a", 61.0), group("b", 7300.0, None)),
            "over 60.0 s: b (2.0 h), a (61.0 s)",
        ),
        # What the group left behind on a topic that it no longer reads.
        (checked(group("payment", 1.0, abandoned=9e9)), ""),
        # A known time does not hide an unknown one.
        (checked(group("payment", 1.0, None)), "unknown: group payment"),
        (
            checked(group("payment", None), group("b", 99.0)),
            "over 60.0 s: b (99.0 s); unknown: group payment",
        ),
        (checked(), "unknown: no consumer group was measured"),
        (
            checked(group("a", 0.0), missing_rights=("Describe on topic orders",)),
            "unknown: Describe on topic orders",
        ),
        # The time is known without it, or the group is listed as unknown.
        (checked(group("a", 0.0), missing_rights=("Read on topic orders",)), ""),
        (checked(group("a", 0.0), unanswered=("group b: Silent",)), "unknown: group b: Silent"),
    ],
)
def test_a_check_names_the_groups_that_are_over_or_unknown(sweep: LagCheck, text: str) -> None:
    assert text == str(sweep)
    assert (not text) == sweep.passed == sweep.document()["passed"]


@pytest.mark.parametrize("more", [["--watch", "1"], ["--daemon"]])
def test_a_check_measures_once(capsys: pytest.CaptureFixture[str], more: list[str]) -> None:
    options = ["--bootstrap-servers", "127.0.0.1:1", "--fail-if-over", "60s"]

    assert 2 == main(["lag", *options, *more])
    assert "--fail-if-over measures once" in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["60", "soon", "-3s", ""])
def test_a_limit_is_a_duration(capsys: pytest.CaptureFixture[str], limit: str) -> None:
    options = ["--bootstrap-servers", "127.0.0.1:1", "--fail-if-over", limit]

    assert 2 == main(["lag", *options])
    assert "is not a duration, such as 90s, 15m or 2h" in capsys.readouterr().err


@pytest.mark.kafka
@pytest.mark.integration
def test_the_exit_code_says_whether_a_group_is_over(
    kafka_servers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = Scene(kafka_servers)

    async def fill() -> None:
        await scene.create()
        await scene.produce(int((time() - 300) * 1000))
        await scene.commit({0: 0})

    asyncio.run(fill())
    command = ["lag", "--bootstrap-servers", kafka_servers, "--topic", scene.topic]

    assert 0 == main([*command, "--fail-if-over", "15m"])
    capsys.readouterr()
    assert 1 == main([*command, "--fail-if-over", "1m"])
    captured = capsys.readouterr()
    assert scene.topic in captured.out
    assert captured.err.startswith(f"tracing: over 60.0 s: {scene.group} (5.")
    assert 1 == len(captured.err.splitlines())

    assert 1 == main([*command, "--fail-if-over", "60s", "--json"])
    captured = capsys.readouterr()
    assert "" == captured.err
    check = json.loads(captured.out)["check"]
    assert (60.0, False, {scene.group}, []) == (
        check["limit_s"],
        check["passed"],
        set(check["over"]),
        check["unknown"],
    )
    # Without reading, the time is unknown.
    assert 1 == main([*command, "--fail-if-over", "15m", "--no-read"])
    assert f"tracing: unknown: group {scene.group}\n" == capsys.readouterr().err
