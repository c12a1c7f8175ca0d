import base64
import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from demo_pipeline.report.page_data import MOST_ORDERS
from tests.demo_pipeline.report.showing import Page, page

if TYPE_CHECKING:
    from tests.demo_pipeline.report.recording import Recorder

NASTY = "<script>alert(1)</script>\"'&<!--\u2028</script >${data}"


def test_nothing_from_an_event_becomes_markup(recorder: "Recorder", tmp_path: Path) -> None:
    recorder.order("plain")
    harmless = page(recorder.result("plain"), tmp_path / "1")
    request = recorder.request(0, 5)
    sent = recorder.send("orders", NASTY, NASTY, 1, 2, request)
    recorder.process(NASTY, "orders.events", NASTY, 3, 4, sent, error=ValueError(NASTY))
    result = replace(
        recorder.result("plain", NASTY, NASTY + "lost"), scenario=NASTY, services=(NASTY,)
    )

    shown = page(result, tmp_path / "2")

    markup = {"script", "style", "meta", "link", "img", "iframe"}

    def active(parsed: Page) -> list[str]:
        return [tag for tag, _ in parsed.elements if tag in markup]

    assert active(harmless) == active(shown)
    assert NASTY in shown.text
    assert [order[0] for order in shown.data["orders"] if order[0] == NASTY] == [NASTY]
    assert NASTY in shown.data["texts"]


def test_the_data_block_cannot_be_ended_by_its_content(
    recorder: "Recorder", tmp_path: Path
) -> None:
    recorder.order(NASTY)

    block = page(recorder.result(NASTY), tmp_path).raw["script"][0]

    assert not set("<>&") & set(block)


def test_only_the_pages_own_script_and_style_may_run_and_nothing_may_load(
    recorder: "Recorder", tmp_path: Path
) -> None:
    shown = page(recorder.result(), tmp_path)
    policy = next(
        attributes["content"] or ""
        for tag, attributes in shown.elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    hashes = {
        kind: base64.b64encode(hashlib.sha256(shown.raw[kind][-1].encode()).digest()).decode()
        for kind in ("script", "style")
    }

    assert {
        "default-src 'none'",
        f"style-src 'sha256-{hashes['style']}'",
        f"script-src 'sha256-{hashes['script']}'",
        "base-uri 'none'",
        "form-action 'none'",
    } == set(policy.split("; "))


def test_the_page_refers_to_nothing_outside(recorder: "Recorder", tmp_path: Path) -> None:
    recorder.order("a")
    shown = page(recorder.result("a"), tmp_path)

    assert [
        attributes
        for _, attributes in shown.elements
        if {"src", "style"} & attributes.keys()
        or not (attributes.get("href") or "#").startswith("#")
    ] == []
    scripts_and_styles = "".join(text for texts in shown.raw.values() for text in texts)
    assert not re.search(r"https?://|url\(|@import|innerHTML", scripts_and_styles)


def test_orders_are_embedded_slowest_first_with_their_spans(
    recorder: "Recorder", tmp_path: Path
) -> None:
    recorder.order("quick")
    request = recorder.order("slow", slow=30)

    data = page(recorder.result("quick", "lost", "slow"), tmp_path).data

    assert [order[0] for order in data["orders"]] == ["slow", "quick", "lost"]
    order_id, (trace,), *rest = data["orders"][0]
    assert ("slow", [120_000, [89_000, 0, 24_000, 5_000, 0, 2_000], None, "completed", 0, ""]) == (
        order_id,
        rest,
    )
    trace_id, spans = data["traces"][trace]
    assert f"{request.get_span_context().trace_id:032x}" == trace_id
    assert len(spans) == 12
    (
        name,
        service,
        role,
        kind,
        depth,
        start,
        duration,
        wait,
        mark,
        span_id,
        events,
        shape,
        *values,
    ) = next(span for span in spans if span[7] == 50_000)
    texts = data["texts"]
    assert [texts[number] for number in (name, service, role, kind)] == [
        "process inventory.events",
        "payment",
        "process",
        "CONSUMER",
    ]
    assert (depth, start, duration, texts[mark]) == (4, 70_000, 11_000, "")
    assert re.fullmatch("[0-9a-f]{16}", span_id)
    assert [] == events
    attributes = {
        texts[key]: texts[value] for key, value in zip(data["shapes"][shape], values, strict=True)
    }
    assert attributes["messaging.message.conversation_id"] == "slow"
    assert attributes["kafka.offset"] == "7"
    assert wait == 50_000
    fault = "order lost has no trace"
    assert ["lost", [], None, [], fault, "unfinished", 1, ""] == data["orders"][2]


def test_a_trace_that_orders_share_is_embedded_once(recorder: "Recorder", tmp_path: Path) -> None:
    request = recorder.request(0, 5)
    for order in ("a", "b"):
        sent = recorder.send("orders", "orders.events", order, 1, 2, request)
        recorder.process("inventory", "orders.events", order, 3, 4, sent)

    data = page(recorder.result("a", "b"), tmp_path).data

    assert len(data["traces"]) == 1
    assert [order[1] for order in data["orders"]] == [[0], [0]]


def test_exceptions_are_embedded_with_their_span(recorder: "Recorder", tmp_path: Path) -> None:
    request = recorder.request(0, 5)
    recorder.process("payment", "t", "a", 6, 9, request, error=ValueError("card store is down"))

    data = page(recorder.result("a"), tmp_path).data

    texts, ((_, (_, span)),) = data["texts"], data["traces"]
    ((at, name, *pairs),) = span[10]
    assert (9_000, "exception") == (at, texts[name])
    shown = {texts[key]: texts[value] for key, value in pairs}
    assert "card store is down" == shown["exception.message"]


def test_a_page_is_bounded_and_keeps_the_orders_that_need_a_person(
    recorder: "Recorder", tmp_path: Path
) -> None:
    request = recorder.order("fine")
    for number in range(MOST_ORDERS + 20):
        recorder.process("payment", "t", f"o{number}", 6, 9 + number / 1000, request)
    recorder.given_up("given up")

    order_ids = ["fine", "given up", *(f"o{number}" for number in range(MOST_ORDERS + 20))]
    shown = page(recorder.result(*order_ids), tmp_path)

    kept = [order[0] for order in shown.data["orders"]]
    assert MOST_ORDERS == len(kept)
    assert "given up" in kept
    assert "22 more orders can be found in traces.jsonl" in " ".join(shown.text.split())


def test_tables_and_verdict_need_no_script(recorder: "Recorder", tmp_path: Path) -> None:
    recorder.order("a")

    shown = page(recorder.result("a"), tmp_path)
    text = " ".join(shown.text.split())

    assert "Every order is in exactly one complete trace." in text
    assert "payment ← inventory.events120.020.020.011.011.011.0---------00" in text
    assert "wait 66 % processing 27 % publish 5 % other 2 %" in text.replace(" %", " % ").replace(
        "  ", " "
    )
    assert "noscript" in {tag for tag, _ in shown.elements}


def test_broken_orders_are_listed(recorder: "Recorder", tmp_path: Path) -> None:
    recorder.order("a")

    text = page(recorder.result("a", "lost"), tmp_path).text

    assert "1 order of 2 with a broken trace" in text
    assert "order lost has no trace" in text


@pytest.mark.parametrize("order_ids", [(), ("\udcff",)])
def test_a_run_without_spans_has_a_page(
    recorder: "Recorder", tmp_path: Path, order_ids: tuple[str, ...]
) -> None:
    result = replace(recorder.result(*order_ids), duration_s=0.0)

    assert "Nothing was processed." in page(result, tmp_path).text


def test_a_failed_run_has_no_good_verdict(recorder: "Recorder", tmp_path: Path) -> None:
    recorder.order("a")
    result = replace(recorder.result("a"), problems=(f"service {NASTY} failed",))

    shown = page(result, tmp_path)

    classes = [attributes.get("class") for _, attributes in shown.elements]
    assert "verdict bad" in classes
    assert "verdict good" not in classes
    assert f"service {NASTY} failed" in shown.text
    assert "✓" not in shown.text


def test_a_run_that_was_stopped_before_its_first_order_is_not_shown_as_good(
    recorder: "Recorder", tmp_path: Path
) -> None:
    shown = page(replace(recorder.result(), problems=("the run was stopped",)), tmp_path)

    assert "verdict bad" in [attributes.get("class") for _, attributes in shown.elements]
    assert "the run was stopped" in shown.text


def test_users_are_on_the_page_only_if_the_run_may_name_them(
    recorder: "Recorder", tmp_path: Path
) -> None:
    recorder.order("a")
    result = recorder.result("a")

    unnamed = page(result, tmp_path / "1")
    assert [""] == [order[7] for order in unnamed.data["orders"]]
    assert "topic:, service:" in unnamed.text
    assert "user:" not in unnamed.text
    named = page(replace(result, users={"a": "user-07"}), tmp_path / "2")
    assert ["user-07"] == [order[7] for order in named.data["orders"]]
    assert "topic:, service:, user:" in named.text
