"""How terminal and page show retries, duplicates, dead letters and a dead-lettered order."""

import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len
from rich.console import Console

from demo_pipeline.report import RunResult, print_summary
from demo_pipeline.report.facts import read_spans
from tests.demo_pipeline.report.counting import counted, labels, payment_counts
from tests.demo_pipeline.report.showing import line_with, page, printed
from tracing.core.semconv import error_type

if TYPE_CHECKING:
    from tests.demo_pipeline.report.recording import Recorder

NASTY = "<script>alert(1)</script>\"'&\x1b[31m\udcff"


class ProviderError(ConnectionError):
    pass


PROVIDER_ERROR = error_type(ProviderError())
HOW_TO_LOOK = "python -m tracing dlq list --bootstrap-servers HOST:PORT"


@pytest.fixture
def outage(recorder: "Recorder") -> RunResult:
    """Two orders that payment dead-lettered, a slower one that succeeded, and a duplicate."""
    recorder.given_up("lost", error=ProviderError())
    recorder.given_up("lost-too", 9, error=ProviderError())
    recorder.order("slow", 3, slow=900)
    twice = counted("analytics", ("pipeline.duplicates", 1234, labels("analytics", "orders")))
    metrics = (payment_counts(PROVIDER_ERROR, dead_letters=2), twice)
    return replace(recorder.result("lost", "lost-too", "slow"), metrics=metrics)


def section(title: str, text: str) -> list[str]:
    lines = [line.rstrip() for line in text.splitlines()]
    start = lines.index(title)
    return lines[start : lines.index("", start)]


def test_the_summary_has_a_table_of_retries_duplicates_and_dead_letters(outage: RunResult) -> None:
    _, head, _, *rows = section("Delivery", printed(outage, 120))

    assert head.split("  ")[0] == "service ← topic"
    assert [row.split() for row in rows] == [
        ["analytics", "←", "orders", "-", "-", "1,234", "-"],
        ["payment", "←", "inventory.events", "ProviderError", "4", "0", "-", "2"],
    ]


def test_the_summary_says_where_dead_letters_are_and_how_to_list_them(
    outage: RunResult, recorder: "Recorder"
) -> None:
    _, _, _, row, hint = section("Dead letters", printed(outage, 120))

    trace_id = f"{read_spans(recorder.spans)[0].trace_id:032x}"
    # The whole trace id of the first one.
    assert row.split() == ["inventory.events.payment.dlq", "ProviderError", "2", trace_id]
    assert hint.endswith(HOW_TO_LOOK)


def test_the_summary_shows_a_dead_lettered_order_beside_the_slowest(
    outage: RunResult,
) -> None:
    text = printed(outage, 120)
    ways = [line for line in text.splitlines() if " order " in line and " ms" in line]

    assert ways == ["Dead-lettered order lost · 500 ms", "Slowest order slow · 990 ms"]
    way, _ = text.split("Slowest order")
    first, second = (line for line in way.splitlines() if "retry inventory.events" in line)
    dead_letter = line_with("dead_letter inventory.events.payment.dlq", way)
    figures = [" ".join(line.split()[-4:]) for line in (first, second)]
    assert ["100 ms 10.0 ms", "300 ms 20.0 ms"] == figures
    for line, signs in ((first, "╌▓"), (second, "╌▓"), (dead_letter, "✕")):
        bar = "".join(dict.fromkeys(glyph for glyph in line if glyph in "░█▒╌▓✕"))
        assert bar == signs
    assert second.count("╌") > 2 * first.count("╌") > 0
    assert "╌ backoff   ▓ retry   ✕ dead letter" in way
    assert "retry 400 ms (80 %)" in way.replace("\n", " ")


def test_a_dead_lettered_order_that_is_the_slowest_is_shown_once(recorder: "Recorder") -> None:
    recorder.order("quick")
    recorder.given_up("lost")

    text = printed(recorder.result("quick", "lost"), 120)

    assert "Slowest order, dead-lettered lost · 500 ms" in text
    assert text.count("POST /orders") == 1


def test_a_run_without_failures_has_one_line_and_no_rare_glyphs(
    recorder: "Recorder", tmp_path: Path
) -> None:
    recorder.order("a")
    result = replace(recorder.result("a"), metrics=(payment_counts(dead_letters=0),))

    text = printed(result, 120)

    assert "No retries, duplicates, dead letters or records out of order" in text
    for rare in ("backoff", "attempt", "dead letter ", "Delivery", "dlq", "retry"):
        assert rare not in text
    shown = page(result, tmp_path)
    assert "No retries, duplicates, dead letters or records out of order." in shown.text
    assert "dlq" not in shown.text
    assert not [tag for tag, attributes in shown.elements if "data-trace" in attributes]


def test_records_out_of_order_are_counted_and_marked(recorder: "Recorder", tmp_path: Path) -> None:
    request = recorder.request(0, 5)
    recorder.process("payment", "t", "a", 6, 9, request)
    recorder.process("payment", "t", "a", 11, 12, request, out_of_order=True)
    count = counted("payment", ("pipeline.out_of_order", 1234, labels("payment", "t")))
    result = replace(recorder.result("a"), metrics=(count,))

    text, shown = printed(result, 120), page(result, tmp_path)

    _, head, _, row = section("Delivery", text)
    assert "out of order" == head.rstrip()[-12:]
    assert ["payment", "←", "t", "-", "-", "-", "-", "1,234"] == row.split()
    assert 1 == text.count("process t (out of order)")
    assert "1,234" in shown.text
    ((_, spans),) = shown.data["traces"]
    assert ["", "", "out of order"] == [shown.data["texts"][span[8]] for span in spans]


def test_a_skipped_duplicate_is_marked_in_the_waterfall_and_on_the_page(
    recorder: "Recorder", tmp_path: Path
) -> None:
    request = recorder.request(0, 5)
    recorder.process("payment", "t", "a", 6, 9, request)
    recorder.process("payment", "t", "a", 11, 12, request, duplicate=True)
    result = recorder.result("a")

    assert printed(result, 120).count("process t (duplicate)") == 1
    data = page(result, tmp_path).data
    ((_, spans),) = data["traces"]
    assert [data["texts"][span[8]] for span in spans] == ["", "", "duplicate"]


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_no_line_about_failures_is_wider_than_the_terminal(outage: RunResult, width: int) -> None:
    assert width >= max(map(cell_len, printed(outage, width).splitlines()))


def test_failures_have_ascii_glyphs_without_unicode(outage: RunResult) -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii") as file:
        print_summary(outage, Console(file=file))
        file.flush()
        text = raw.getvalue().decode("ascii")

    assert ": backoff   % retry   X dead letter" in text
    assert "X" in line_with("dead_letter inventory", text)


def test_errors_and_topics_cannot_control_the_terminal(recorder: "Recorder") -> None:
    recorder.order("a")
    bad = counted(
        NASTY,
        ("pipeline.retries", 1, labels(NASTY, NASTY, NASTY)),
        ("pipeline.dead_letters", 1, labels(NASTY, NASTY, NASTY)),
    )

    text = printed(replace(recorder.result("a"), metrics=(bad,)), 120)

    assert not {"\x1b", "\udcff"} & set(text)
    assert "alert(1)" in text


def test_the_page_has_the_same_figures_in_tables(outage: RunResult, tmp_path: Path) -> None:
    text = " ".join(page(outage, tmp_path).text.split())

    assert "payment ← inventory.eventsProviderError 40-ProviderError 2" in text
    assert "analytics ← orders--1,234-" in text
    assert f"inventory.events.payment.dlq{PROVIDER_ERROR}2" in text
    assert "Records moved to a dead-letter topic; 2 orders affected." in text
    assert HOW_TO_LOOK in text


def test_the_page_links_to_a_dead_lettered_orders_trace(outage: RunResult, tmp_path: Path) -> None:
    shown = page(outage, tmp_path)

    (wanted,) = [
        attributes["data-trace"]
        for tag, attributes in shown.elements
        if tag == "button" and "data-trace" in attributes
    ]
    orders = {order[0]: order for order in shown.data["orders"]}
    states = {"lost": "dead-lettered", "lost-too": "dead-lettered", "slow": "completed"}
    assert states == {order_id: row[5] for order_id, row in orders.items()}
    assert shown.data["traces"][orders["lost"][1][0]][0] == wanted
    assert orders["lost"][3] == [13_000, 0, 82_000, 3_000, 400_000, 2_000]
    texts = shown.data["texts"]
    spans = shown.data["traces"][orders["lost"][1][0]][1]
    # The role, and the backoff instead of the wait.
    assert [(texts[span[2]], span[7]) for span in spans[-3:]] == [
        ("retry", 100_000),
        ("retry", 300_000),
        ("dead_letter", -1),
    ]


def test_nothing_about_failures_becomes_markup(recorder: "Recorder", tmp_path: Path) -> None:
    recorder.given_up("lost")
    harmless = replace(recorder.result("lost"), metrics=(payment_counts(),))
    bad = counted(
        NASTY,
        ("pipeline.retries", 1, labels(NASTY, NASTY, NASTY)),
        ("pipeline.duplicates", 1, labels(NASTY, NASTY)),
        ("pipeline.dead_letters", 1, labels(NASTY, NASTY, NASTY)),
    )

    shown = page(replace(harmless, metrics=(bad,)), tmp_path / "2")

    scripts = [tag for tag, _ in shown.elements].count("script")
    assert scripts == [tag for tag, _ in page(harmless, tmp_path / "1").elements].count("script")
    assert "<script>alert(1)</script>\"'&" in shown.text
