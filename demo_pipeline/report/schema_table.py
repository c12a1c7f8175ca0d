"""The versions of schemas in use, as a table for the terminal and for the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from demo_pipeline.report.markup import html_cells, html_table
from demo_pipeline.report.plain import plain_table
from demo_pipeline.report.wording import NOTHING, escaped, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from demo_pipeline.report.schema_versions import SchemaVersions

_TITLE: Final = "schemas-title"
_HEADINGS: Final = ("Writes", "Reads", "With version")
_CAPTION: Final = (
    "Schemas of which several versions are at work: how many messages each service wrote and read "
    "in each version, and the version that it reads with."
)


def schema_part(uses: Sequence[SchemaVersions], width: int) -> list[RenderableType]:
    """Show who writes and reads which version; nothing where each schema has one."""
    if not uses:
        return []
    table = plain_table(width)
    table.add_column("service: schema", overflow="fold")
    for heading in _HEADINGS:
        table.add_column(heading.lower(), justify="right")
    for each in uses:
        name = f"{printable(each.service)}: {printable(each.subject)}"
        table.add_row(Text(name), *_figures(each))
    return [Text("Schema versions", "bold"), table, ""]


def schema_section(uses: Sequence[SchemaVersions]) -> str:
    """Return the section of the page; empty where each schema has one version."""
    if not uses:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escaped(each.service)} '
        f'<span class="from">{escaped(each.subject)}</span></th>{html_cells(_figures(each))}</tr>'
        for each in uses
    )
    table = html_table(_TITLE, _CAPTION, ("Service and schema", *_HEADINGS), [rows])
    return (
        f'<section aria-labelledby="{_TITLE}"><h2 id="{_TITLE}">Schema versions</h2>'
        f"{table}</section>"
    )


def _figures(use: SchemaVersions) -> tuple[str, ...]:
    readers = ", ".join(f"v{version}" for version in use.readers)
    return _counts(use.written), _counts(use.read), readers or NOTHING


def _counts(numbers: Mapping[int, int]) -> str:
    counts = ", ".join(f"v{version}: {numbers[version]:,}" for version in sorted(numbers))
    return counts or NOTHING
