"""What the pages show of a cluster with dead letters."""

from __future__ import annotations

import asyncio
import re
from html import unescape

import pytest

from tests.tracing.dlq.cluster import Cluster
from tests.tracing.dlq_web.browsing import HOSTILE, Browser, add, links, rows

pytestmark = pytest.mark.integration


@pytest.fixture
def browser(cluster: Cluster) -> Browser:
    return Browser(cluster.servers)


def first(cluster: Cluster) -> str:
    return f"{cluster.of_payment}/0/0"


def test_the_overview_counts_by_topic_group_and_error(cluster: Cluster, browser: Browser) -> None:
    assert 0 == cluster.run("replay", "--id", first(cluster))

    shown = rows(browser.get(topic=cluster.topic))

    assert [
        f"ConnectionError 2 1 payment {cluster.topic}",
        f"ConnectionError 2 0 shipping {cluster.topic}",
        f"KeyError 1 0 payment {cluster.topic}",
        f"KeyError 1 0 shipping {cluster.topic}",
    ] == [row.partition(" 3 ")[0] for row in shown]


def test_the_overview_can_be_filtered(cluster: Cluster, browser: Browser) -> None:
    def shown(**query: str) -> int:
        return len(rows(browser.get(**query)))

    assert 2 == shown(topic=cluster.of_payment)
    assert 2 == shown(topic=cluster.topic, error="Connection")
    assert 2 == shown(topic=cluster.topic, error="Key*r")
    assert 1 == shown(topic=cluster.topic, error="Key", group="ship")
    assert 0 == cluster.run("replay", "--topic", cluster.of_payment, "--group", "payment")
    assert 2 == shown(topic=cluster.topic, state="waiting")
    nothing = browser.get(topic="no-such-topic")
    assert "No dead-letter topic has this in its name" in nothing.text


def test_a_group_leads_to_its_dead_letters_and_each_to_its_own_page(
    cluster: Cluster, browser: Browser
) -> None:
    group = links(browser.get(topic=cluster.of_payment))["ConnectionError"]
    listed = browser.follow(group)
    assert 2 == len(rows(listed))

    letter = browser.follow(links(listed)["0/1"])

    assert 200 == letter.status_code
    for text in ("ConnectionError", r"away\x1b[31m", f"{4:032x}", "not replayed", cluster.topic):
        assert text in letter.text


def test_pages_of_a_large_topic_go_on_where_the_last_one_ended(cluster: Cluster) -> None:
    asyncio.run(add(cluster, 7))
    browser = Browser(cluster.servers, page=4)
    page = browser.get("letters", topic=cluster.of_payment)
    seen = [rows(page)]
    while "Go on behind these" in links(page):
        page = browser.follow(links(page)["Go on behind these"])
        seen.append(rows(page))

    assert [4, 4, 2] == [len(each) for each in seen]
    places = [row.partition(" ")[0] for each in seen for row in each]
    assert sorted([f"0/{n}" for n in range(3)] + [f"1/{n}" for n in range(7)]) == sorted(places)


def test_a_page_says_that_there_was_no_time_to_read_all_and_how_to_go_on(
    cluster: Cluster,
) -> None:
    browser = Browser(cluster.servers, read_s=1e-9)
    overview = browser.get(topic=cluster.topic)
    assert "The counts are too low" in overview.text

    page = browser.get("letters", topic=cluster.of_payment)
    for _ in range(3):
        assert "Reading was stopped" in page.text
        assert 1 == len(rows(page))
        page = browser.follow(links(page)["Go on behind these"])
    assert "No dead letter more fits" in page.text


def test_replayed_dead_letters_say_so_and_can_be_left_out(
    cluster: Cluster, browser: Browser
) -> None:
    assert 0 == cluster.run("replay", "--id", first(cluster))

    page = browser.get("letters", topic=cluster.of_payment)

    assert 3 == len(rows(page))
    assert "replayed at 20" in rows(page)[0]
    waiting = browser.follow(links(page)["Show only those not replayed"])
    assert ["0/1", "0/2"] == [row.partition(" ")[0] for row in rows(waiting)]
    assert "replayed at 20" in browser.get("letter", id=first(cluster)).text


def test_every_text_of_a_record_is_escaped_on_every_page(cluster: Cluster) -> None:
    asyncio.run(add(cluster, 1, exception=HOSTILE, message=HOSTILE, group=HOSTILE))
    browser = Browser(cluster.servers, show_payload=True, trace_url="http://t/{trace_id}")
    overview = browser.get(topic=cluster.of_payment)
    listed = browser.follow(links(overview)[HOSTILE])
    place = f"{cluster.of_payment}/1/0"
    pages = [
        overview,
        listed,
        browser.get("letter", id=place),
        browser.get("letter", id=place, payload="1"),
        browser.get(topic=HOSTILE, group=HOSTILE, error=HOSTILE),
        browser.get("letters", topic=HOSTILE, error=HOSTILE),
        browser.get("letter", id=f"{HOSTILE}/0/0"),
        browser.get("letter", id=HOSTILE),
        browser.get(HOSTILE),
    ]

    assert 1 == len(rows(listed))
    for page in pages:
        assert "<script" not in page.text
        assert "<img" not in page.text
        assert "&lt;script&gt;" in page.text or 404 == page.status_code


def test_characters_that_are_not_seen_are_shown_as_escapes(cluster: Cluster) -> None:
    asyncio.run(add(cluster, 1, exception="E\u202e\u200bx", message="a\nb"))

    page = Browser(cluster.servers).get(topic=cluster.of_payment)

    assert r"E\u202e\u200bx" in page.text
    assert "\u202e" not in page.text


def test_key_value_and_own_headers_are_hidden_unless_the_server_may_show_them(
    cluster: Cluster,
) -> None:
    asyncio.run(add(cluster, 1, stacktrace="secret-trace"))
    place = f"{cluster.of_payment}/1/0"
    closed, open_ = Browser(cluster.servers), Browser(cluster.servers, show_payload=True)

    for page in (
        closed.get(topic=cluster.of_payment),
        closed.get("letters", topic=cluster.of_payment),
        closed.get("letter", id=place),
        closed.get("letter", id=place, payload="1"),
        open_.get("letters", topic=cluster.of_payment),
        open_.get("letter", id=place),
    ):
        assert 200 == page.status_code
        assert "secret" not in page.text.replace("form_secret", "")
    page = open_.get("letter", id=place)
    assert place in page.text
    shown = open_.follow(links(page)["Show key, value, stack trace and all headers"])
    for text in ("secret", "secret-key", "secret-header", "secret-trace"):
        assert text in shown.text


def test_the_trace_is_a_link_where_the_server_knows_its_address(cluster: Cluster) -> None:
    browser = Browser(cluster.servers, trace_url="https://traces.example/{trace_id}?a=b&c")

    trace_id = f"{2:032x}"
    page = browser.get("letter", id=first(cluster))
    assert f"https://traces.example/{trace_id}?a=b&c" == links(page)[trace_id]


def test_only_dead_letters_are_shown(cluster: Cluster, browser: Browser) -> None:
    for query in (
        {"id": f"{cluster.topic}/0/0"},
        {"id": f"{cluster.of_payment}/0/99"},
        {"id": f"{cluster.of_payment}/77/0"},
        {"id": "no-such.dlq/0/0"},
    ):
        assert 404 == browser.get("letter", **query).status_code
    assert 404 == browser.get("letters", topic=cluster.topic).status_code
    for path in ("letter?id=nonsense", "letter", "letters", "letters?topic=a.dlq&after=x"):
        assert 400 == browser.get(path).status_code


def test_a_dead_broker_is_a_page_that_says_how_to_go_on() -> None:
    browser = Browser("127.0.0.1:1")

    for path in ("?topic=a", "letters?topic=a.dlq", "letter?id=a.dlq/0/0"):
        page = browser.get(path)

        assert 503 == page.status_code
        assert "The cluster cannot be read" in page.text
        assert "no Kafka broker answers" in page.text
        assert path in links(page)["Try again"].replace("%2F", "/")


def test_the_command_selects_what_the_page_shows(cluster: Cluster, browser: Browser) -> None:
    def command(**query: str) -> str:
        page = browser.get("letters", topic=cluster.of_payment, after="0/0", **query)
        found = re.search(r"<pre><code>(.*?)</code></pre>", page.text)
        return "" if found is None else unescape(found[1])

    start = f"python -m tracing dlq replay --bootstrap-servers {cluster.servers}"
    start += f" --topic {cluster.of_payment}"
    assert f"{start} --dry-run" == command()
    assert f"{start} --group '' --error '' --dry-run" == command(group="", error="")
    long = "E" * 5000
    assert f"{start} --error {long} --not-replayed --dry-run" == command(
        error=long, state="waiting"
    )
    assert "" == command(error="away\x1b[31m")


def test_an_empty_error_selects_only_dead_letters_without_one(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(add(cluster, 1, exception=""))

    assert 0 == cluster.run("replay", "--topic", cluster.of_payment, "--error", "", "--dry-run")

    assert "1 dead letter" in "".join(capsys.readouterr())
