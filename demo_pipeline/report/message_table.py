"""The map of messages as a table for the terminal: commands solid, events dashed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from demo_pipeline.report.plain import plain_table
from demo_pipeline.report.wording import NOTHING, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from demo_pipeline.report.message_map import MappedTopic

_SOLID: Final = "──> "
_DASHED: Final = "╌╌> "


def message_part(topics: Sequence[MappedTopic], width: int) -> list[RenderableType]:
    """Show who sends what to which, and commands that have several receivers."""
    if not topics:
        return []
    table = plain_table(width, tight=True)
    for heading in ("sent by", "topic", "read by", "types"):
        table.add_column(heading, overflow="fold")
    for topic in topics:
        arrow = _DASHED if topic.kind == "event" else _SOLID
        table.add_row(
            Text(_names(topic.senders)),
            Text(arrow + printable(topic.topic)),
            Text(arrow + _names(topic.readers), "bold red" if topic.fault else ""),
            Text(", ".join(f"{printable(name)} {count:,}" for name, count in topic.types)),
        )
    faults = [Text(printable(topic.fault), "bold red") for topic in topics if topic.fault]
    title = Text.assemble(("Messages ", "bold"), ("(── command, ╌╌ event)", "dim"))
    return [title, table, *faults, ""]


def _names(names: Sequence[str]) -> str:
    return ", ".join(map(printable, names)) or NOTHING
