"""No choice of texts, and no slow cluster, makes a page too large or too late."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.tracing.dlq.cluster import Cluster
from tests.tracing.dlq_web.browsing import Browser, add, links, rows
from tracing.dlq import letters
from tracing.dlq.places import LetterId
from tracing.dlq_web import pages, reading
from tracing.dlq_web.choice import Choice

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tracing.dlq.reading import Letter

pytestmark = pytest.mark.integration


@pytest.fixture
def cluster(embedded_servers: str) -> Cluster:
    cluster = Cluster(embedded_servers)
    asyncio.run(cluster.fill())
    return cluster


async def endless(*arguments: Any, **options: Any) -> AsyncGenerator[Letter, None]:
    """Read, and find no end."""
    async for dead_letter in letters(*arguments, **options):
        yield dead_letter
    await asyncio.Event().wait()


def test_the_overview_shows_the_most_frequent_and_says_so(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_MOST_ROWS", 3)
    browser = Browser(cluster.servers)

    page = browser.get(topic=cluster.topic)

    assert ["ConnectionError", "ConnectionError", "KeyError"] == [
        row.partition(" ")[0] for row in rows(page)
    ]
    assert "The 3 most frequent are shown" in page.text
    assert "most frequent are shown" not in browser.get(topic=cluster.of_payment).text


def test_the_overview_keeps_a_bounded_number_of_groups_and_counts_all(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_MOST_GROUPS", 1)

    page = Browser(cluster.servers).get(topic=cluster.of_payment)

    assert 1 == len(rows(page))
    assert "3 dead letters in" in page.text
    assert "1 dead letter of others is in none of the rows" in page.text


def test_dead_letters_that_are_not_read_in_time_are_a_page_that_says_so(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "letters", endless)
    browser = Browser(cluster.servers, read_s=0.5)

    answer = browser.get("letter", id=f"{cluster.of_payment}/0/99")

    assert 503 == answer.status_code
    assert "could not be read in time" in answer.text


def test_a_dead_letter_that_was_read_is_shown_though_the_time_is_over(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "letters", endless)
    browser = Browser(cluster.servers, read_s=1.0)

    answer = browser.get("letter", id=f"{cluster.of_payment}/0/1")

    assert 200 == answer.status_code
    assert "ConnectionError" in answer.text


def test_a_page_goes_on_behind_any_number_of_partitions() -> None:
    browser = Browser("127.0.0.1:1")
    after = tuple(LetterId("a.dlq", number, 10**9) for number in range(500))
    choice = Choice(topic="a.dlq", after=after)

    retry = browser.get(f"letters?{choice.query}")

    assert 503 == retry.status_code
    assert links(retry)["Try again"].endswith(choice.query)


def test_an_error_type_of_any_length_has_a_link_to_its_dead_letters(cluster: Cluster) -> None:
    asyncio.run(add(cluster, 1, exception="E" * 4000))
    browser = Browser(cluster.servers)
    overview = browser.get(topic=cluster.of_payment)
    (link,) = (link for text, link in links(overview).items() if text.startswith("EEE"))

    listed = browser.follow(link)

    assert len(link) < 1000
    assert 200 == listed.status_code
    assert "1/0" in links(listed)
