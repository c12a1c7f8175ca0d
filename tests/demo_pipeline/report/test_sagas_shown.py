"""How the summary shows sagas and their steps, with the same figures as the page."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len
from rich.console import Console

from demo_pipeline.report import RunResult, print_summary
from tests.demo_pipeline.report.saga_recording import completed_order, reported, saga, step
from tests.demo_pipeline.report.showing import line_with, page, printed

if TYPE_CHECKING:
    from tests.demo_pipeline.report.recording import Recorder

NASTY = "<script>alert(1)</script>\"'&\x1b[31m\udcff"


def section(title: str, text: str) -> list[str]:
    """Return the lines of a table, without the rule below its head."""
    lines = [line.rstrip() for line in text.splitlines()]
    start = lines.index(title)
    head, _, *rows = lines[start + 1 : lines.index("", start)]
    return [head, *rows]


def test_the_summary_has_tables_of_sagas_and_of_their_steps(mixed_sagas: RunResult) -> None:
    text = printed(mixed_sagas, 120)

    head, row, note = section("Sagas (ms)", text)
    assert note.startswith("Counts are totals in the databases")
    assert (head.split(), row.split()) == (
        [
            *("saga", "started", "completed", "compensated", "failed", "overdue", "active"),
            *("p50", "p95", "p99"),
        ],
        ["place-order", "1,204", "1,200", "1", "1", "2", "2", "80.0", "120", "120"],
    )
    assert section("Saga steps (ms)", text) == [
        "saga, step                           ok   rejected   error    p50    p95",
        "place-order",
        "  reserve-inventory                   2          -       -   20.0   30.0",
        "  charge-card                         2          -       -   30.0   30.0",
        "  ship-order                          1          1       -   20.0   30.0",
        "  refund-card (compensation)          1          -       -   20.0   20.0",
        "  release-inventory (compensation)    -          -       1   20.0   20.0",
    ]


def test_sagas_are_shown_between_the_end_to_end_time_and_delivery(
    mixed_sagas: RunResult, tmp_path: Path
) -> None:
    text = printed(mixed_sagas, 120)
    places = [text.index(title) for title in ("End to end", "Sagas", "Saga steps", "No retries")]
    assert places == sorted(places)

    elements = page(mixed_sagas, tmp_path).elements
    ids = [attributes.get("id") for tag, attributes in elements if tag == "h2"]
    assert ids[:3] == ["orders-title", "hops-title", "total-title"]
    assert ids[-2:] == ["sagas-title", "delivery-title"]


def test_a_narrow_terminal_has_the_same_figures_below_each_other(mixed_sagas: RunResult) -> None:
    text = printed(mixed_sagas, 40)

    assert [row.split() for row in section("Sagas (ms)", text)[:10]] == [
        ["saga", "place-order"],
        ["started", "1,204"],
        ["completed", "1,200"],
        ["compensated", "1"],
        ["failed", "1"],
        ["overdue", "2"],
        ["active", "2"],
        ["p50", "80.0"],
        ["p95", "120"],
        ["p99", "120"],
    ]
    steps = section("Saga steps (ms)", text)
    assert line_with("ship-order", "\n".join(steps)).split()[1:] == ["1", "1", "-", "20.0", "30.0"]
    assert sum("(compensation)" in line for line in steps) == 2


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
def test_no_line_about_sagas_is_wider_than_the_terminal(
    mixed_sagas: RunResult, recorder: "Recorder", width: int
) -> None:
    whole = saga(recorder, "x", 0, 9, name="運送" * 40)
    step(recorder, whole, "x", "charge" * 40, 1, 2, name="運送" * 40)

    text = printed(replace(mixed_sagas, spans=recorder.spans), width)

    assert width >= max(map(cell_len, text.splitlines()))
    assert "(compensation)" in text


def test_failed_and_overdue_sagas_stand_out_and_zeros_do_not(
    mixed_sagas: RunResult, recorder: "Recorder", tmp_path: Path
) -> None:
    file = io.StringIO()
    colours = Console(
        file=file, width=120, force_terminal=True, color_system="standard", _environ={}
    )
    print_summary(mixed_sagas, colours, tables=True)

    # Failed, overdue, and the compensation that failed.
    assert file.getvalue().count("\x1b[1;31m") == 3
    shown = page(mixed_sagas, tmp_path)
    assert [tag for tag, _ in shown.elements].count("strong") == 3


def test_a_run_without_sagas_does_not_mention_them(recorder: "Recorder", tmp_path: Path) -> None:
    recorder.order("a")
    result = replace(recorder.result("a"), metrics=(reported("orders", ("active", 0, {})),))

    assert "saga" not in printed(result, 120).lower()
    shown = page(result, tmp_path)
    assert "saga" not in shown.text.lower()
    assert "sagas-title" not in {attributes.get("id") for _, attributes in shown.elements}


def test_sagas_without_spans_have_no_table_of_steps(recorder: "Recorder", tmp_path: Path) -> None:
    result = replace(recorder.result(), metrics=(reported("orders", ("started", 3, {})),))

    text = printed(result, 120)

    assert line_with("place-order", text).split()[1:] == ["3", *"--------"]
    assert "steps" not in text
    assert "rowgroup" not in {
        attributes.get("scope") for _, attributes in page(result, tmp_path).elements
    }


def test_the_waterfall_has_its_own_glyphs_for_sagas_and_steps(mixed_sagas: RunResult) -> None:
    text = printed(replace(mixed_sagas, order_ids=("undone",)), 140)

    whole = line_with("saga place-order (overdue)", text)
    shipping = line_with("saga.step place-order/ship-order", text)
    refund = line_with("saga.step place-order/refund-card (compensation)", text)
    failed = line_with("! saga.step place-order/release-inventory (compensation)", text)
    figures = [" ".join(line.split()[-2:]) for line in (whole, shipping, refund, failed)]
    assert ["120 ms", "20.0 ms", "20.0 ms", "20.0 ms"] == figures
    # All of the saga's 120 ms, of which shipping took a sixth.
    assert 5 < whole.count("═") / shipping.count("▄") < 7
    assert "═ saga   ▄ saga step   ─ HTTP and other" in text


def test_waterfalls_without_sagas_do_not_explain_their_glyphs(recorder: "Recorder") -> None:
    recorder.order("plain")
    completed_order(recorder, "other", 500)

    assert "═ saga" not in printed(recorder.result("plain"), 120)


def test_sagas_have_ascii_glyphs_without_unicode(mixed_sagas: RunResult) -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii") as file:
        print_summary(mixed_sagas, Console(file=file))
        file.flush()
        text = raw.getvalue().decode("ascii")

    assert "_ saga   + saga step   - HTTP and other" in text
    assert "____" in line_with("saga place-order", text)
    assert "+++" in line_with("saga.step place-order/charge-card", text)
    assert "?" not in text


@pytest.mark.parametrize("show", [printed, lambda result: printed(result, 60)])
def test_names_of_sagas_cannot_control_the_terminal(
    recorder: "Recorder", show: Callable[[RunResult], str]
) -> None:
    whole = saga(recorder, NASTY, 0, 9, name=NASTY)
    step(recorder, whole, NASTY, NASTY, 1, 2, name=NASTY)

    text = show(recorder.result())

    assert not {"\x1b", "\udcff"} & set(text)
    assert "<script>" in text
