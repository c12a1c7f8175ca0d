"""What is not sent: dead letters, forms and plans that a replay refuses, and replays that fail."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from tests.tracing.dlq.cluster import Cluster
from tests.tracing.dlq_web.browsing import Browser, add, places, plan_of, rows, values
from tracing import Telemetry
from tracing.dlq import letters, replaying
from tracing.dlq_web import replay_plans

pytestmark = pytest.mark.integration


def test_another_record_at_the_place_of_a_dead_letter_is_not_sent(
    cluster: Cluster, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = plan_of(browser.post("replay", id=places(cluster, 0, 1)))

    async def changed(*arguments: Any, **options: Any) -> Any:
        async for dead_letter in letters(*arguments, **options):
            if dead_letter.id.offset == 0:
                object.__setattr__(dead_letter.record, "timestamp", 1)
                yield dead_letter

    monkeypatch.setattr(replay_plans, "letters", changed)
    page = browser.post(path)

    assert "0 dead letters replayed" in page.text
    assert "another record is at its place now" in rows(page)[0]
    assert "no longer there" in rows(page)[1]
    assert [] == values(cluster)


def test_what_cannot_be_replayed_is_listed_with_the_reason(
    cluster: Cluster, browser: Browser
) -> None:
    asyncio.run(add(cluster, 1, topic="elsewhere"))

    page = browser.post("replay", id=[f"{cluster.of_payment}/1/0", *places(cluster, 0, 99)])

    assert "Replay 1 dead letter?" in page.text
    assert "whose dead letters do not go to" in page.text
    assert "it is not there" in page.text
    assert 1 == len(rows(page))
    # Where nothing is left, there is nothing to confirm.
    assert "/send" not in browser.post("replay", id=f"{cluster.of_payment}/1/0").text


def test_a_server_that_only_reads_has_no_forms_and_replays_nothing(
    cluster: Cluster, browser: Browser
) -> None:
    reader = Browser(cluster.servers)
    for page in (
        reader.get("letters", topic=cluster.of_payment),
        reader.get("letter", id=places(cluster, 0)[0]),
    ):
        assert 'method="post"' not in page.text

    assert 403 == reader.post("replay", id=places(cluster, 0)).status_code
    assert 403 == reader.post("replay/any/send").status_code
    assert 'method="post"' in browser.get("letters", topic=cluster.of_payment).text
    assert [] == values(cluster)


def test_forms_that_select_nothing_or_too_much_are_refused(
    cluster: Cluster, browser: Browser
) -> None:
    for chosen in (
        [],
        ["nonsense"],
        [*places(cluster, 0), f"{cluster.of_shipping}/0/0"],
        [f"{cluster.of_payment}/0/{offset}" for offset in range(51)],
    ):
        assert 400 == browser.post("replay", id=chosen).status_code
    assert 404 == browser.post("replay", id=f"{cluster.topic}/0/0").status_code
    assert 404 == browser.post("replay/guessed/send").status_code


def test_an_old_dry_run_cannot_be_confirmed(
    cluster: Cluster, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = plan_of(browser.post("replay", id=places(cluster, 0)))
    monkeypatch.setattr(replay_plans, "_VALID_S", -1)

    answer = browser.post(path)

    assert 404 == answer.status_code
    assert "Nothing was sent" in answer.text
    assert [] == values(cluster)


def test_a_replay_that_ends_early_says_why_and_what_is_not_known(
    cluster: Cluster, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = plan_of(browser.post("replay", id=places(cluster, 0)))

    async def broken(*_: Any, **__: Any) -> None:
        raise KafkaConnectionError("gone")

    monkeypatch.setattr(replay_plans, "replay", broken)
    page = browser.post(path)

    assert "It ended early" in page.text
    assert "no Kafka broker answers" in page.text
    assert "its page shows whether it was sent" in rows(page)[0]


def test_a_dead_letter_that_the_broker_refuses_is_listed_with_the_reason(
    cluster: Cluster, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = plan_of(browser.post("replay", id=places(cluster, 0)))

    async def failing(*_: Any) -> None:
        raise KafkaConnectionError("gone")

    monkeypatch.setattr(replaying, "send_raw", failing)
    page = browser.post(path)

    assert "0 dead letters replayed" in page.text
    assert "not sent: KafkaConnectionError" in rows(page)[0]


async def test_selected_dead_letters_that_are_not_read_in_time_are_not_sent(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = await asyncio.to_thread(
        lambda: Browser(cluster.servers, telemetry=Telemetry("dead-letters"), read_s=2.0)
    )
    path = plan_of(await asyncio.to_thread(browser.post, "replay", id=places(cluster, 0, 1)))

    async def slow(*arguments: Any, **options: Any) -> Any:
        async for dead_letter in letters(*arguments, **options):
            yield dead_letter
            await asyncio.Event().wait()

    monkeypatch.setattr(replay_plans, "letters", slow)
    page = await asyncio.to_thread(browser.post, path)

    assert "1 dead letter replayed" in page.text
    assert "could not be read within 2 s" in rows(page)[1]
    assert [b"secret-1"] == await asyncio.to_thread(values, cluster)


def test_a_plan_that_is_not_known_claims_nothing_about_what_was_sent(browser: Browser) -> None:
    answer = browser.get("replay/guessed")

    assert "What it sent, if anything, is shown with each dead letter" in answer.text
    assert "Nothing was sent" not in answer.text
