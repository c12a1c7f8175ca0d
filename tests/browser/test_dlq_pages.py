"""The pages of dead letters in Chromium: for everyone, by keyboard alone, and safe."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.browser.chromium import new_page, violations
from tests.tracing.dlq.cluster import Cluster
from tests.tracing.dlq_web.browsing import HOSTILE, add
from tests.tracing.dlq_web.serving import serving

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from tests.browser.chromium import Browser, Page

pytestmark = pytest.mark.integration

NARROW: Final = 390
_MOST_TABS: Final = 80
_FOCUSED: Final = """() => {
  const element = document.activeElement
  return element.ariaLabel || element.textContent.trim()
}"""


@pytest.fixture
def cluster(embedded_servers: str) -> Cluster:
    cluster = Cluster(embedded_servers)
    run(cluster.fill())
    run(add(cluster, 1, exception=HOSTILE, message=HOSTILE, group=HOSTILE))
    return cluster


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in a thread of its own: Playwright has the event loop of this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def replayed(cluster: Cluster) -> list[Any]:
    return [record.value for record in run(cluster.records())]


@contextmanager
def opened(page: Page, cluster: Cluster) -> Iterator[str]:
    """Open the session of a server that may replay; yield the address of its pages."""
    with serving(cluster.servers, "--allow-replay", "--show-payload") as (_, address):
        page.goto(address)
        yield address.partition("?")[0]
        # A style sheet that the end of the server cuts short is an error of the page.
        page.wait_for_load_state("load")


def paths(cluster: Cluster) -> list[str]:
    """Return the addresses of pages of each kind, under that of the server."""
    return [
        f"?topic={cluster.topic}",
        f"letters?topic={cluster.of_payment}",
        f"letter?id={cluster.of_payment}/0/0",
        f"letter?id={cluster.of_payment}/1/0&payload=1",
        "?topic=no-such-topic",
    ]


def make_dry_run(page: Page, base: str, cluster: Cluster) -> None:
    page.goto(f"{base}letters?topic={cluster.of_payment}")
    page.get_by_role("button", name="Dry run for all").click()
    page.get_by_role("heading", name="Replay").first.wait_for()


def send(page: Page) -> None:
    page.get_by_role("button", name="Send").click()
    page.get_by_role("heading", name="replayed").wait_for()


def tab_to(page: Page, name: str) -> None:
    """Press the tabulator until the element with a name has the focus, which can be seen."""
    # Headings are there before the style sheet is.
    page.wait_for_load_state("load")
    for _ in range(_MOST_TABS):
        page.keyboard.press("Tab")
        if name == page.evaluate(_FOCUSED):
            style = "getComputedStyle(document.activeElement)"
            assert "solid" == page.evaluate(f"{style}.outlineStyle")
            return
    raise AssertionError(f"{name} cannot be reached")


@pytest.mark.parametrize("dark", [False, True])
def test_every_page_is_for_everyone(browser: Browser, cluster: Cluster, *, dark: bool) -> None:
    with new_page(browser, dark=dark) as page, opened(page, cluster) as base:
        for path in paths(cluster):
            page.goto(base + path)
            assert [] == violations(page), path
        make_dry_run(page, base, cluster)
        assert [] == violations(page)
        send(page)
        assert [] == violations(page)
        make_dry_run(page, base, cluster)
        assert page.get_by_role("heading", name="Replayed before").is_visible()
        assert [] == violations(page)


def test_the_pages_of_failures_are_for_everyone(browser: Browser) -> None:
    with serving("127.0.0.1:1", "--timeout", "1") as (_, address), browser.new_page() as page:
        for path, title in ((address, "cannot be read"), ("nowhere", "Not Found")):
            page.goto(path if path == address else address.partition("?")[0] + path)
            assert page.get_by_role("heading", name=title).is_visible()
            assert [] == violations(page)
    with serving("127.0.0.1:1") as (_, address), browser.new_page() as page:
        page.goto(address.partition("?")[0])
        assert page.get_by_role("heading", name="has no session").is_visible()
        assert [] == violations(page)


def test_nothing_is_cut_on_a_narrow_screen_and_a_table_stays_one(
    page: Page, cluster: Cluster
) -> None:
    with opened(page, cluster) as base:
        make_dry_run(page, base, cluster)
        replay = page.url
        for address in [*(base + path for path in paths(cluster)), replay]:
            page.goto(address)
            roles = ("row", "rowheader", "cell")
            wide = [page.get_by_role(role).count() for role in roles]  # type: ignore[arg-type]
            page.set_viewport_size({"width": NARROW, "height": 844})
            assert wide == [page.get_by_role(role).count() for role in roles]  # type: ignore[arg-type]
            assert page.evaluate("document.documentElement.scrollWidth") <= NARROW
            right = "[...document.querySelectorAll('main *')].map(e => e.getBoundingClientRect())"
            shown = f"{right}.filter(box => box.width > 1).map(box => box.right)"
            assert page.evaluate(f"Math.max(...{shown})") <= NARROW, address
            assert [] == violations(page)
            page.set_viewport_size({"width": 1280, "height": 900})


def test_a_dead_letter_is_replayed_by_keyboard_alone(page: Page, cluster: Cluster) -> None:
    with opened(page, cluster) as base:
        page.goto(f"{base}?topic={cluster.of_payment}")
        tab_to(page, "Skip to the content")
        assert page.get_by_role("link", name="Skip to the content").bounding_box() is not None
        page.keyboard.press("Enter")
        assert "main" == page.evaluate("document.activeElement.id")
        tab_to(page, "KeyError")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="KeyError in payment").wait_for()
        tab_to(page, "Select 0/2")
        page.keyboard.press("Space")
        tab_to(page, "Dry run for the selected")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Replay 1 dead letter?").wait_for()
        tab_to(page, "Send 1 dead letter")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="1 dead letter replayed").wait_for()

    assert [b"secret-5"] == replayed(cluster)


def test_a_double_click_sends_once(page: Page, cluster: Cluster) -> None:
    with opened(page, cluster) as base:
        page.goto(f"{base}letter?id={cluster.of_payment}/0/0")
        page.get_by_role("button", name="Dry run").click()
        page.get_by_role("button", name="Send").dblclick()
        # The second click may have been answered while the first one was at work.
        under_way = page.get_by_role("heading", name="under way")
        ended = page.get_by_role("heading", name="1 dead letter replayed")
        under_way.or_(ended).wait_for()
        while under_way.is_visible():
            page.get_by_role("link", name="Load this page again").click()
            under_way.or_(ended).wait_for()

    assert [b"secret-1"] == replayed(cluster)


def test_no_script_of_a_record_runs(page: Page, cluster: Cluster) -> None:
    dialogs: list[str] = []

    def shown(dialog: Any) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", shown)
    with opened(page, cluster) as base:
        for path in paths(cluster):
            page.goto(base + path)
            assert 0 == page.locator("script, img, iframe, object").count()
        page.goto(f"{base}letter?id={cluster.of_payment}/1/0")
        assert page.get_by_text(HOSTILE).first.is_visible()

    assert [] == dialogs


def test_the_session_is_out_of_reach_of_scripts_addresses_and_other_servers(
    page: Page, cluster: Cluster
) -> None:
    with opened(page, cluster) as base:
        assert base == page.url
        assert "" == page.evaluate("document.cookie")
        (cookie,) = page.context.cookies()
        assert (True, "Strict") == (cookie["httpOnly"], cookie["sameSite"])
        assert [] == page.context.cookies("http://127.0.0.1:1/")


def test_a_form_of_another_server_on_this_host_does_nothing(
    browser: Browser, cluster: Cluster
) -> None:
    form = '<form method="post" action="{}replay"><input name="id" value="{}"><button>Go</button>'
    with browser.new_page() as page, opened(page, cluster) as base:
        other = "http://127.0.0.1:1/"
        body = form.format(base, f"{cluster.of_payment}/0/0")
        page.route(other, lambda route: route.fulfill(body=body, content_type="text/html"))
        page.goto(other)
        page.get_by_role("button", name="Go").click()

        page.get_by_role("heading", name="This form is not of this server").wait_for()
