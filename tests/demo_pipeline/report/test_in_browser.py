"""The page as a person uses it, in Chromium."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from demo_pipeline.report import LogLine, write_report
from tests.browser.chromium import new_page, violations
from tests.demo_pipeline.report.recording import Recorder
from tests.demo_pipeline.report.saga_recording import completed_order, refused_order, saga, step

if TYPE_CHECKING:
    from tests.browser.chromium import Browser, Page

pytestmark = pytest.mark.integration

PHONE = {"width": 390, "height": 844}
CHOSEN = '#list [aria-selected="true"] .id'
SPANS = ".waterfall .row:not(.head):not([hidden])"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write a report on orders of every state, and return its address."""
    recorder = Recorder()
    completed_order(recorder, "fine")
    refused_order(recorder, "undone", 200)
    request = recorder.order("stuck", 400)
    step(recorder, saga(recorder, "stuck", 403, 500, request, outcome="failed"), "stuck", "s", 1, 2)
    recorder.given_up("given-up", 600)
    request = recorder.order("slow", 1300, slow=54_210)
    sent = recorder.send(
        "orders", "orders.events", "slow", 1301, 1302, request, message_type="OrderPlaced"
    )
    recorder.process(
        "orchestrator", "orders.events", "slow", 1310, 1320, sent, message_type="OrderPlaced"
    )
    folder = tmp_path_factory.mktemp("report")
    result = recorder.result("fine", "undone", "stuck", "given-up", "slow")
    (retry, *_) = [span for span in recorder.spans if span.name.startswith("retry")]
    context = retry.get_span_context()
    assert context is not None
    line = LogLine(retry.end_time or 0, "WARNING", "the provider is down <b>again</b>")
    result = replace(
        result,
        users={"slow": "user-07"},
        logs={(context.trace_id, context.span_id): [line]},
    )
    write_report(result, folder)
    return (folder / "report.html").as_uri()


@pytest.fixture
def report(page: Page, address: str) -> Page:
    page.goto(address)
    return page


def found(page: Page) -> list[str]:
    texts: list[str] = page.locator("#list .id").all_text_contents()
    return texts


def search(page: Page, query: str) -> list[str]:
    page.locator("#search").fill(query)
    page.locator("#search").press("Enter")
    return found(page)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("view", ["waterfall", "sequence"])
def test_axe_core_finds_no_violation(browser: Browser, address: str, view: str, dark: bool) -> None:
    with new_page(browser, dark=dark) as page:
        page.goto(f"{address}#order=given-up")
        page.locator(f'[data-view="{view}"]').click()
        if view == "waterfall":
            page.locator(".open", has_text="retry").first.click()

        assert [] == violations(page)


def test_axe_core_finds_no_violation_on_a_phone(report: Page) -> None:
    report.set_viewport_size(PHONE)  # type: ignore[arg-type, unused-ignore]

    assert [] == violations(report)


def test_orders_that_need_a_person_come_first_with_a_red_badge(report: Page) -> None:
    assert ["given-up", "stuck", "slow"] == found(report)[:3]
    assert ["dead-lettered", "failed"] == report.locator("#list .bad .flag").all_text_contents()
    assert "2" == report.locator(".tiles .bad dd").text_content()
    report.locator("#state").select_option("compensated")
    assert ["undone"] == found(report)
    report.locator(".tiles .bad a").click()
    report.locator("#found", has_text="2 of 5 orders").wait_for()
    assert ["given-up", "stuck"] == found(report)


@pytest.mark.parametrize(
    ("expected", "query"),
    [
        (["given-up"], "given"),
        (["undone"], "state:compensated"),
        (["slow"], "orderplaced type:placed"),
        (["fine"], "event:EVENT-OF-FINE-payment"),
        (["given-up"], "error:connectionerror"),
        (["slow"], "user:user-07"),
        ([], "type:fine"),
    ],
)
def test_an_order_is_found_by_what_happened_to_it(
    report: Page, query: str, expected: list[str]
) -> None:
    assert expected == search(report, query)


def test_an_order_is_found_by_its_trace(report: Page) -> None:
    trace = report.locator(".trace code").text_content()

    assert ["given-up"] == search(report, f"trace:{trace}")


def test_typing_refreshes_the_list_once_after_a_pause(report: Page) -> None:
    at_once = report.evaluate(
        """() => {
          window.refreshes = 0;
          const count = (all) => (window.refreshes += all.some((each) => each.removedNodes.length));
          new MutationObserver(count).observe(document.getElementById("list"), { childList: true });
          const search = document.getElementById("search");
          for (const text of ["f", "fi", "fin", "fine"]) {
            search.value = text;
            search.dispatchEvent(new Event("input"));
          }
          return document.getElementById("list").childElementCount;
        }"""
    )
    assert 5 == at_once
    report.locator("#found", has_text="1 of 5 orders").wait_for()

    assert ["fine"] == found(report)
    assert 1 == report.evaluate("window.refreshes")


def test_a_link_opens_its_order_and_the_address_follows_the_selection(
    page: Page, address: str
) -> None:
    page.goto(f"{address}#order=fine")
    assert "fine" == page.locator(CHOSEN).text_content()
    page.locator("#list").get_by_text("undone").click()
    assert page.url.endswith("#order=undone")
    page.goto(f"{address}#state=failed")
    page.locator("#found", has_text="1 of 5 orders").wait_for()
    assert ["stuck"] == found(page)
    page.goto(f"{address}#order=slow")
    page.locator(CHOSEN, has_text="slow").wait_for()


def test_the_keyboard_reaches_everything(report: Page) -> None:
    report.keyboard.press("Tab")
    assert "Skip to the orders" == report.locator(":focus").text_content()
    report.keyboard.press("Enter")
    assert "orders-title" == report.locator(":focus").get_attribute("id")
    report.keyboard.press("/")
    assert "search" == report.locator(":focus").get_attribute("id")
    report.keyboard.press("ArrowDown")
    report.keyboard.press("ArrowDown")
    assert "stuck" == report.locator(":focus .id").text_content()
    assert "stuck" == report.locator(CHOSEN).text_content()
    assert 1 == report.locator('#list [tabindex="0"]').count()


def test_spans_fold_and_open_with_the_arrow_keys(page: Page, address: str) -> None:
    page.goto(f"{address}#order=given-up")
    spans = page.locator(SPANS)
    assert 8 == spans.count()
    assert 1 == page.locator('.waterfall button[tabindex="0"]').count()
    page.locator(".waterfall .open").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    assert 2 == spans.count()
    page.keyboard.press("ArrowRight")
    assert 8 == spans.count()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    assert page.locator(".attributes:visible").get_by_text("kafka").is_visible()
    page.get_by_role("button", name="Fold all").click()
    assert 1 == spans.count()
    assert 0 == page.locator(".attributes:visible").count()


def test_a_span_shows_its_type_and_its_exception(page: Page, address: str) -> None:
    page.goto(f"{address}#order=slow")
    (name,) = page.locator(".open .name", has_text="process OrderPlaced").all_text_contents()
    assert "process OrderPlaced" == name
    page.goto(f"{address}#order=given-up")
    retry = page.locator(".row", has_text="retry").first
    assert "error" == retry.locator(".flag").text_content()
    retry.locator(".open").click()
    assert page.get_by_text("ConnectionError: no card provider").first.is_visible()


def test_a_span_shows_the_lines_that_were_logged_in_it(page: Page, address: str) -> None:
    page.goto(f"{address}#order=given-up")
    page.locator(".open", has_text="retry").first.click()
    line = page.locator(".attributes:visible .event", has_text="WARNING")
    assert "WARNING the provider is down <b>again</b> 10.0 ms after the start" == (
        line.text_content()
    )


def test_services_have_colours_of_their_own_with_a_legend(page: Page, address: str) -> None:
    page.goto(f"{address}#order=fine")
    legend = page.locator('[aria-label="Services by colour"] li')
    services = [text.strip() for text in legend.all_text_contents()]
    assert {"orders", "inventory", "payment", "shipping", "analytics"} == set(services)
    paint = "each => each.map((dot) => getComputedStyle(dot).backgroundColor)"
    assert 5 == len(set(legend.locator(".dot").evaluate_all(paint)))


def test_durations_and_the_axis_have_units(page: Page, address: str) -> None:
    page.goto(f"{address}#order=slow")
    assert "54.3 s" == page.locator(f"{CHOSEN} ~ .took").text_content()
    assert (
        "11.0 ms"
        == page.locator(SPANS, has_text="inventory.events payment")
        .locator(".figure")
        .last.text_content()
    )
    ticks = page.locator(".ticks span").all_text_contents()
    assert ["0", "13.6 s", "27.1 s", "40.7 s", "54.3 s"] == ticks


def test_the_sequence_shows_who_sent_what_to_which(page: Page, address: str) -> None:
    page.goto(f"{address}#order=fine")
    page.get_by_role("button", name="Sequence").click()
    messages = page.locator(".sequence li .what").all_text_contents()
    assert "outside to orders: POST /orders" == messages[0]
    assert any(text.startswith("inventory to payment: ") for text in messages)


def test_nothing_is_cut_on_a_phone(report: Page) -> None:
    report.set_viewport_size(PHONE)  # type: ignore[arg-type, unused-ignore]

    assert 390 == report.evaluate("document.documentElement.scrollWidth")
    assert [] == report.evaluate(
        """[...document.querySelectorAll("caption span, .open, h2, .verdict, dt, dd")]
          .filter((each) => each.checkVisibility())
          .filter((each) => each.scrollWidth > each.clientWidth + 1
            || each.getBoundingClientRect().right > innerWidth)
          .map((each) => each.outerHTML)"""
    )


def test_a_phone_has_the_sequence_as_lines(page: Page, address: str) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type, unused-ignore]
    page.goto(f"{address}#order=fine")
    page.get_by_role("button", name="Sequence").click()
    first = page.locator(".sequence li .what").first
    assert "outside to orders: POST /orders" == first.inner_text()
    box = page.locator(".sequence")
    assert box.evaluate("each => each.scrollWidth <= each.clientWidth")
