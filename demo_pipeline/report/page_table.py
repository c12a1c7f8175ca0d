"""Tables of the page, as their sections share them."""

from collections.abc import Iterable, Sequence


def page_table(title_id: str, caption: str, headings: Sequence[str], groups: Iterable[str]) -> str:
    """Write a table in a region that can be scrolled with the keyboard.

    Args:
        title_id: The id of the heading that names the region.
        caption: What the table tells.
        headings: Those of its columns; the first column names the rows.
        groups: The rows, as markup, group by group.
    """
    first, *others = headings
    head = f'<th scope="col" class="named">{first}</th>'
    head += "".join(f'<th scope="col">{heading}</th>' for heading in others)
    bodies = "".join(f"<tbody>{rows}</tbody>" for rows in groups)
    return (
        f'<div class="scroll" role="region" aria-labelledby="{title_id}" tabindex="0"><table>'
        f"<caption>{caption}</caption><thead><tr>{head}</tr></thead>{bodies}</table></div>"
    )
