"""Printing the findings of the schema gate, and the changes of schemas, on the terminal."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from demo_pipeline.evolution.check import Verdict
from demo_pipeline.report.plain import WIDE, plain_table, print_plainly, width_of
from demo_pipeline.report.wording import NOTHING, counted, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, RenderableType

    from demo_pipeline.evolution.changes import Change
    from demo_pipeline.evolution.check import Finding
    from demo_pipeline.evolution.comparison import Comparison
    from demo_pipeline.evolution.registering import Registered

_HEADINGS: Final = {
    Verdict.INCOMPATIBLE: "incompatible change",
    Verdict.HISTORY: "files are wrong",
    Verdict.UNREGISTERED: "not registered",
    Verdict.MISSING: "no schema",
    Verdict.REFUSED: "refused by the registry",
}
_INDENTED: Final = (0, 0, 0, 2)


def print_findings(findings: Sequence[Finding], console: Console) -> None:
    """Print why the schemas may not be released, message by message."""
    parts: list[RenderableType] = []
    for (schema, verdict), group in groupby(
        findings, lambda finding: (finding.schema, finding.verdict)
    ):
        name = f"{printable(schema)}: " if schema else ""
        parts.append(Text(f"{name}{_HEADINGS[verdict]}", "bold red"))
        for finding in group:
            parts += [
                Padding(Text(printable_line(finding.reason)), _INDENTED),
                Padding(Text(f"Fix: {printable_line(finding.fix)}", "green"), _INDENTED),
            ]
        parts.append("")
    print_plainly(console, Group(*parts), width_of(console))


def print_changes(comparisons: Sequence[Comparison], console: Console) -> None:
    """Print what changed, field by field."""
    if not comparisons:
        console.print("no changes")
        return
    width = width_of(console)
    for comparison in comparisons:
        heading = f"{comparison.schema}, {comparison.old} to {comparison.new}"
        parts: list[RenderableType] = [Text(heading, "bold")]
        if comparison.changes:
            table = plain_table(width, tight=True)
            table.add_column("field", no_wrap=width >= WIDE, overflow="fold")
            for column in ("change", "before", "after"):
                table.add_column(column, overflow="fold")
            for change in comparison.changes:
                table.add_row(*map(Text, _cells(change)))
            parts.append(table)
        else:
            parts.append(Padding(Text("no changes that a reader sees"), _INDENTED))
        print_plainly(console, Group(*parts, ""), width)


def print_registered(added: Sequence[Registered], where: str, console: Console) -> None:
    """Print the versions that were registered."""
    for each in added:
        console.print(
            Text(f"{printable(each.schema)} version {each.version} has the id {each.id} {where}")
        )
    if not added:
        console.print(Text(f"nothing is new {where}"))


def summary(findings: Sequence[Finding]) -> str:
    """Return the findings in a line."""
    schemas = len({finding.schema for finding in findings})
    return f"{counted(len(findings), 'problem')} in {counted(schemas, 'schema')}"


def printable_line(text: str) -> str:
    """Make a sentence with untrusted names safe to print, at its full length."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _cells(change: Change) -> tuple[str, ...]:
    cells = (change.field, change.what, change.before, change.after)
    return tuple(NOTHING if cell is None or cell == "" else printable(cell) for cell in cells)
