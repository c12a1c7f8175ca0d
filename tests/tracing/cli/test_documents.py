"""Documents as lines for a person."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from tracing.cli.dlq_output import print_document


def printed(document: dict[str, object]) -> list[str]:
    file = StringIO()
    print_document(document, Console(file=file, width=100))
    return file.getvalue().splitlines()


def test_a_short_list_is_one_line_and_a_long_one_has_a_line_for_each_element() -> None:
    names = [f"header-{number:02}" for number in range(9)]

    assert ["headers          header-00, header-01"] == printed({"headers": names[:2]})
    assert ["headers          header-00", *[f"{'':<17}{name}" for name in names[1:]]] == printed(
        {"headers": names}
    )
    assert ["headers          "] == printed({"headers": []})
