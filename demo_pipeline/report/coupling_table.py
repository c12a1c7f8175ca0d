"""Events with their state beside notifications as tables, for the terminal and for the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from demo_pipeline.report.markup import html_cells, html_table
from demo_pipeline.report.plain import plain_table
from demo_pipeline.report.wording import NOTHING, escaped, milliseconds, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from demo_pipeline.report.coupling import Coupling
    from demo_pipeline.report.model import Distribution

_TITLE: Final = "coupling-title"
_HEADINGS: Final = (
    "events", "readers", "call-backs\nper event", "failed", "bytes\np50", "\np95",
    "added (ms)\np50", "\np95", "newer\nstate", "needs",
)  # fmt: skip
_PAGE_HEADINGS: Final = (
    "Message ← topic", "Events", "Readers", "Call-backs per event", "Failed call-backs",
    "Bytes p50", "Bytes p95", "Added p50", "Added p95", "Newer state", "Needs",
)  # fmt: skip
_CAPTION: Final = (
    "Types of messages that are published together: one carries the state that its readers need, "
    "for another one they call back. Call-backs: HTTP requests while a message was handled. Added: "
    "how long a reader waited for the state after it had the message, with all attempts, in ms. "
    "Newer state: how often the answer was newer than the message. Needs: the services that must "
    "be up, beside the broker, for a reader to go on."
)


def coupling_part(couplings: Sequence[Coupling], width: int) -> list[RenderableType]:
    """Show what each pattern costs its readers; nothing where no reader calls back."""
    if not couplings:
        return []
    shown = plain_table(width, tight=True)
    shown.add_column("message ← topic", overflow="fold")
    for heading in _HEADINGS:
        shown.add_column(heading, justify="right", no_wrap=heading != "needs")
    for each in couplings:
        shown.add_row(
            Text(f"{printable(each.message_type)} ← {printable(each.topic)}"),
            *_figures(each),
            Text(", ".join(map(printable, each.asked)) or NOTHING, "bold" if each.asked else ""),
        )
    return [Text("Coupling: state in the event, or a call-back for it", "bold"), shown, ""]


def coupling_section(couplings: Sequence[Coupling]) -> str:
    """Return the section of the page; empty where no reader calls back."""
    if not couplings:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escaped(each.message_type)} '
        f'<span class="from">← {escaped(each.topic)}</span></th>'
        f"{html_cells((*_figures(each), escaped(', '.join(each.asked)) or NOTHING))}</tr>"
        for each in couplings
    )
    return (
        f'<section aria-labelledby="{_TITLE}"><h2 id="{_TITLE}">Coupling</h2>'
        f"{html_table(_TITLE, _CAPTION, _PAGE_HEADINGS, [rows])}</section>"
    )


def _figures(coupling: Coupling) -> tuple[str, ...]:
    return (
        f"{coupling.events:,}",
        f"{len(coupling.readers):,}",
        f"{coupling.call_backs_per_event:.2f}" if coupling.call_backs else "0",
        f"{coupling.failed:,}",
        *_bytes(coupling.size),
        *(_added(coupling.added)),
        f"{coupling.newer:,}",
    )


def _bytes(size: Distribution | None) -> tuple[str, str]:
    return (NOTHING, NOTHING) if size is None else (f"{size.p50:,}", f"{size.p95:,}")


def _added(added: Distribution | None) -> tuple[str, str]:
    if added is None:
        return NOTHING, NOTHING
    p50, p95 = (milliseconds(value) if value else "0" for value in (added.p50, added.p95))
    return p50, p95
