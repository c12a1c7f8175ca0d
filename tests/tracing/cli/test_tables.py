"""Tables at terminals of any width, and behind a pipe."""

from __future__ import annotations

from io import StringIO

import pytest
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tracing.cli.tables import WIDEST, print_table
from tracing.cli.terminal import console

LONG = "orders.events-of-a-shop.payment-service.dlq"


def printed(width: int, *, terminal: bool) -> list[str]:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("lag", justify="right", no_wrap=True)
    for name in ("status", "group", "topic"):
        table.add_column(name, overflow="fold")
    table.add_row("1,234", Text("no members", "red"), "payment-service", LONG)
    table.add_row("2", "ok", "a group with a long name of many words", "orders")
    output = StringIO()
    print_table(
        table, Console(file=output, width=width, force_terminal=terminal, color_system=None)
    )
    return output.getvalue().splitlines()


def test_behind_a_pipe_every_row_is_one_line_without_trailing_blanks() -> None:
    heading, rule, *rows = printed(WIDEST, terminal=False)

    assert ["lag", "status", "group", "topic"] == heading.split()
    assert {"─"} == set(rule)
    assert 2 == len(rows)
    assert rows[0].endswith(f"  payment-service                          {LONG}")
    assert [line.rstrip() for line in rows] == rows


def test_a_wide_terminal_has_one_line_for_each_row() -> None:
    assert 4 == len(printed(200, terminal=True))


@pytest.mark.parametrize("width", [90, 84, 75, 40, 20])
def test_no_word_is_broken_at_any_width(width: int) -> None:
    lines = printed(width, terminal=True)

    words = " ".join(lines).split()
    for word in (LONG, "1,234", "payment-service", "members", "words", "orders"):
        assert word in words


def test_a_narrower_terminal_wraps_between_words() -> None:
    lines = printed(90, terminal=True)

    assert all(len(line) <= 90 for line in lines)
    assert "many words" in " ".join(" ".join(lines[-2:]).split())


def test_a_terminal_too_narrow_for_the_words_has_a_line_for_each_cell() -> None:
    assert [
        "lag     1,234", "status  no members", "group   payment-service", f"topic   {LONG}", "",
        "lag     2", "status  ok", "group   a group with a long name of many words",
        "topic   orders",
    ] == printed(50, terminal=True)  # fmt: skip


def test_what_is_no_terminal_is_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    assert WIDEST == console().width
