"""Tables of the page, as markup."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def html_cells(values: Iterable[str]) -> str:
    """Return the cells of a row; the values are markup."""
    return "".join(f"<td>{value}</td>" for value in values)


def html_table(title_id: str, caption: str, headings: Sequence[str], groups: Iterable[str]) -> str:
    """Return a table in a region that can be scrolled with the keyboard.

    Args:
        title_id: The id of the heading that labels the region.
        caption: The caption of the table.
        headings: The column headings; the first column labels the rows.
        groups: The rows, as markup, one group per element.
    """
    first, *others = headings
    head = f'<th scope="col" class="named">{first}</th>'
    head += "".join(f'<th scope="col">{heading}</th>' for heading in others)
    bodies = "".join(f"<tbody>{rows}</tbody>" for rows in groups)
    return (
        f'<div class="scroll" role="group" aria-labelledby="{title_id}" tabindex="0"><table>'
        f"<caption><span>{caption}</span></caption><thead><tr>{head}</tr></thead>{bodies}</table></div>"
    )
