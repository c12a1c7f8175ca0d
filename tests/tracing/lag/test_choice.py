"""Which groups and topics a sweep covers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tracing.lag.scene import Scene
from tracing.lag import Connection, LagMonitor
from tracing.lag.choice import Choice, patterns


def test_a_pattern_matches_whole_names() -> None:
    choice = Choice(exclude_groups=patterns(["console-.*", "b"]), exclude_topics=patterns(["a|b"]))

    names = ("console-consumer-1", "my-console-consumer", "console-", "b", "bb")
    assert [False, True, False, False, True] == [choice.has_group(name) for name in names]
    assert [False, False, True, True] == [choice.has_topic(name) for name in ("a", "b", "ab", "c")]


def test_names_and_patterns_both_decide() -> None:
    choice = Choice(topics=frozenset({"orders", "refunds"}), exclude_topics=patterns(["x.*"]))

    assert [True, False, False] == [choice.has_topic(name) for name in ("orders", "other", "x")]


@pytest.mark.parametrize("text", ["console-[", "*-consumer", "(a", "a{2,1}", "[z-a]", "(?P<1>a)"])
def test_a_text_that_is_no_regular_expression_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a regular expression, in which \.\* is any text"):
        LagMonitor(Connection("127.0.0.1:1"), exclude_groups=[text])


@pytest.mark.parametrize("kind", ["group", "topic"])
def test_a_name_that_is_also_excluded_is_refused(kind: str) -> None:
    options = {f"{kind}s": ["orders"], f"exclude_{kind}s": ["x", "order.*"]}
    message = rf"{kind} orders is named and also excluded, by 'order\.\*'"
    with pytest.raises(ValueError, match=message):
        LagMonitor(Connection("127.0.0.1:1"), **options)  # type: ignore[arg-type]  # of any kind


@pytest.mark.integration
@pytest.mark.parametrize("servers", ["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
async def test_excluded_groups_and_topics_are_left_out(
    servers: str, request: pytest.FixtureRequest
) -> None:
    scene = Scene(str(request.getfixturevalue(f"{servers}_servers")))
    dead_letters = Scene(scene.servers, f"{scene.topic}.payment.dlq")
    other = Scene(scene.servers)
    for each in (scene, dead_letters, other):
        await each.create()
        await each.produce(None)
        await each.commit({0: 0}, scene.group)
    await scene.commit({0: 0}, f"{scene.group}-console-1")
    options: dict[str, Any] = {"groups": [], "topics": []}

    async with scene.monitor(**options) as monitor:
        everything = await monitor.sweep()
    async with scene.monitor(
        **options,
        exclude_groups=[r".*-console-\d+"],
        exclude_topics=[f"{scene.name}[.].*", other.name, "no-such-topic"],
    ) as monitor:
        some = await monitor.sweep()

    mine = {scene.group, f"{scene.group}-console-1"}
    assert mine <= {group.group for group in everything.groups}
    assert dead_letters.topic in {depth.topic for depth in everything.dead_letters}
    (group,) = [group for group in some.groups if group.group in mine]
    assert (scene.group, [scene.topic]) == (group.group, [part.topic for part in group.partitions])
    assert dead_letters.topic not in {depth.topic for depth in some.dead_letters}
