import io
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len
from rich.console import Console

from demo_pipeline import report
from demo_pipeline.report import print_summary
from demo_pipeline.report.plain import print_plainly
from tests.demo_pipeline.report.showing import line_with, printed

if TYPE_CHECKING:
    from tests.demo_pipeline.report.recording import Recorder


def test_the_headline_has_orders_throughput_and_a_good_verdict(recorder: "Recorder") -> None:
    recorder.order("a")
    recorder.order("b", 5)

    headline = printed(recorder.result("a", "b"), 120).splitlines()[0]

    assert headline == "2 orders · 1.0/s · 2.00 s · scenario steady · all traces complete"


def test_broken_traces_are_counted_and_the_first_ones_explained(recorder: "Recorder") -> None:
    text = printed(recorder.result(*(f"o{number}" for number in range(7))), 120)

    assert "7 broken traces" in text.splitlines()[0]
    assert text.count("has no trace") == 5
    assert "... and 2 more" in text


def test_a_failed_run_says_so_and_why_in_red(recorder: "Recorder") -> None:
    recorder.order("a")
    result = replace(recorder.result("a"), problems=("1 of 2 orders did not end", "so \x1b[2J"))
    file = io.StringIO()
    print_summary(
        result, Console(file=file, width=120, force_terminal=True, color_system="standard")
    )

    lines = file.getvalue().splitlines()
    assert "\x1b[1;31mthe run failed" in lines[0]
    assert "\x1b[1;31m  1 of 2 orders did not end" in lines[1]
    assert "\x1b[2J" not in lines[2]
    assert "complete" not in lines[0]


def test_a_hop_has_its_percentiles_in_ms(recorder: "Recorder") -> None:
    recorder.order("a")

    row = line_with("payment ← inventory.events", printed(recorder.result("a"), 120))

    assert row.split()[3:] == ["1", "20.0", "20.0", "20.0", "11.0", "11.0", "11.0", "0"]


def test_waits_for_a_connection_have_a_table_of_their_own(recorder: "Recorder") -> None:
    recorder.process("payment", "payment.commands", "a", 0, 10, None, wait=1, connection=4)

    text = printed(recorder.result("a"), 120)

    _, after = text.split("Wait for a database connection, not in the processing (ms)")
    assert ["4.00"] * 3 == line_with("payment ← payment.commands", after).split()[3:]
    assert ["6.00"] * 3 == line_with("payment ← payment.commands", text).split()[-4:-1]


def test_end_to_end_has_a_table(recorder: "Recorder") -> None:
    recorder.order("a")
    recorder.order("b", slow=30)

    lines = printed(recorder.result("a", "b"), 120).splitlines()
    table = lines[lines.index("End to end (ms)") + 1 :]

    assert table[0].split() == ["orders", "p50", "p95", "p99", "max"]
    assert table[2].split() == ["2", "90.0", "120", "120", "120"]


def test_the_waterfall_draws_wait_before_processing_with_another_glyph(
    recorder: "Recorder",
) -> None:
    recorder.order("a")
    recorder.order("slowest", slow=30)

    text = printed(recorder.result("a", "slowest"), 120)

    assert "Slowest order slowest · 120 ms" in text
    row = next(
        line
        for line in text.splitlines()
        if "process inventory.events" in line and "payment" in line
    )
    bar = "".join(glyph for glyph in row if glyph in "░█▒")
    # 50 ms of wait and 11 ms of processing.
    assert bar == "░" * bar.count("░") + "█" * bar.count("█")
    assert 4 * bar.count("█") < bar.count("░") < 6 * bar.count("█")
    assert row.split()[-4:] == ["50.0", "ms", "11.0", "ms"]
    assert "▒" in line_with("send payment.events", text)
    assert "░ wait in the broker   █ processing   ▒ send" in text


def test_the_waterfall_names_the_type_of_a_message(recorder: "Recorder") -> None:
    request = recorder.request(0, 9)
    sent = recorder.send(
        "orders", "payment.events", "a", 1, 2, request, message_type="PaymentDeclined"
    )
    recorder.process("orders", "payment.events", "a", 3, 4, sent, message_type="PaymentDeclined")

    text = printed(recorder.result("a"), 120)

    assert "send payment.events · PaymentDeclined" in text
    assert "process payment.events · PaymentDeclined" in text


def test_the_tree_shows_causes(recorder: "Recorder") -> None:
    recorder.order("a")

    text = printed(recorder.result("a"), 120)

    assert [line[:39].rstrip() for line in text.splitlines()[5:17]] == [
        "POST /orders",
        "└─send orders.events",
        "  ├─process orders.events",
        "  └─process orders.events",
        "    └─send inventory.events",
        "      ├─process inventory.events",
        "      └─process inventory.events",
        "        └─send payment.events",
        "          ├─process payment.events",
        "          └─process payment.events",
        "            └─send shipping.events",
        "              └─process shipping.events",
    ]


def test_a_line_says_where_the_time_went(recorder: "Recorder") -> None:
    recorder.order("a", slow=10)

    assert line_with("Critical path", printed(recorder.result("a"), 120)) == (
        "Critical path 100 ms: wait 69.0 ms (69 %), processing 24.0 ms (24 %), "
        "publish 5.00 ms (5 %), other 2.00 ms (2 %)"
    )


@pytest.mark.parametrize(("expected", "width"), [(["0", "248"], 80), (["0", "124", "248"], 120)])
def test_the_time_axis_names_its_middle_only_where_there_is_room(
    recorder: "Recorder", expected: list[str], width: int
) -> None:
    recorder.order("a", slow=158)

    head = line_with("span  ", printed(recorder.result("a"), width))

    assert expected == re.findall(r"\d+", head)


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal(recorder: "Recorder", width: int) -> None:
    recorder.order("a" * 300)
    recorder.order("運送" * 20, slow=9)

    lines = printed(recorder.result("a" * 300, "運送" * 20), width).splitlines()

    assert width >= max(map(cell_len, lines))


def test_a_pipe_gets_at_least_a_hundred_columns_and_no_escape_codes(recorder: "Recorder") -> None:
    recorder.order("a")

    text = printed(recorder.result("a"))

    assert "\x1b" not in text
    assert max(len(line.rstrip()) for line in text.splitlines()) == 100


def test_an_output_that_is_not_unicode_gets_ascii_characters(recorder: "Recorder") -> None:
    recorder.order("größe")
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii") as file:
        print_summary(recorder.result("größe"), Console(file=file))
        file.flush()
        text = raw.getvalue().decode("ascii")

    assert ". wait in the broker   # processing   = send" in text
    assert "Slowest order gr??e" in text


def test_each_character_of_the_report_has_one_in_ascii() -> None:
    sources = (path.read_text() for path in Path(report.__file__).parent.glob("*.py"))
    drawn = sorted({each for text in sources for each in text if not each.isascii()})
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii") as file:
        print_plainly(Console(file=file), "".join(drawn), 100)
        file.flush()
        text = raw.getvalue().decode("ascii").strip()

    assert len(drawn) > 20
    assert len(drawn) == len(text)
    assert "?" not in text


def test_untrusted_text_cannot_control_the_terminal(recorder: "Recorder") -> None:
    order = "\x1b]0;owned\x07[bold]x\udcff"
    recorder.order(order)
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="utf-8") as file:
        print_summary(recorder.result(order, "\x1b[2J"), Console(file=file))
        file.flush()
        text = raw.getvalue().decode()

    assert not {"\x1b", "\x07"} & set(text)
    assert "[bold]x" in text


def test_failed_processing_is_marked_by_more_than_colour(recorder: "Recorder") -> None:
    request = recorder.request(0, 5)
    recorder.process("payment", "t", "a", 6, 9, request, error=ValueError("no"))

    assert "! process t" in printed(recorder.result("a"), 120)


def test_an_empty_run_is_reported(recorder: "Recorder") -> None:
    empty = replace(recorder.result(), duration_s=0.0)

    assert "0 orders · - · 0 ms · scenario steady · no orders were placed" in printed(empty, 80)


def test_a_single_span_of_no_duration_is_drawn(recorder: "Recorder") -> None:
    recorder.process("payment", "t", "a", 0, 0, None)

    assert "Critical path 0 ms: wait 0 ms (0 %)" in printed(recorder.result("a"), 120)


def test_a_huge_trace_is_cut(recorder: "Recorder") -> None:
    request = recorder.request(0, 5)
    for number in range(99):
        recorder.process("payment", "t", "a", 6 + number, 7 + number, request)

    assert "... and 40 shorter spans" in printed(recorder.result("a"), 120)


def test_without_tables_a_run_fits_on_a_screen(recorder: "Recorder") -> None:
    for number in range(3):
        request = recorder.order(f"o{number}", number * 500, slow=number)
        for copy in range(30):
            recorder.process("payment", "t", f"o{number}", 500 * number, copy, request, wait=5)
    recorder.given_up("lost", 2000)
    order_ids = ("o0", "o1", "o2", "lost")

    short = printed(recorder.result(*order_ids), 100, tables=False).splitlines()

    # The command adds the names of three files.
    assert 40 - 3 >= len(short)
    assert "Slowest order, dead-lettered lost · 500 ms" == short[2]
    assert any(line.startswith("End to end: p50 ") for line in short)
    assert "All tables: run with --tables" == short[-1]
    assert "Hops (ms)" not in short
    assert "Hops (ms)" in printed(recorder.result(*order_ids), 100).splitlines()


def test_a_cut_waterfall_keeps_failures_and_everything_above_them(recorder: "Recorder") -> None:
    request = recorder.request(0, 500)
    for number in range(40):
        recorder.process("payment", "long", "a", 6, 400 - number, request)
    sent = recorder.send("orders", "short", "a", 1, 2, request)
    recorder.process("payment", "short", "a", 3, 4, sent, error=ValueError("no"))

    text = printed(recorder.result("a"), 100, tables=False)

    assert "! process short" in text
    assert "send short" in text
    assert "... and 25 shorter spans" in text
