"""Write the tables of `docs/cost.md` and the sentence of the README from the committed results.

`python -m benchmarks.cost_table` writes them, `--check` only compares. Text between the markers
`<!-- cost NAME -->` and `<!-- end -->` is generated; a number in it was measured.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parent.parent
RESULTS: Final = ROOT / "benchmarks" / "results" / "overhead.json"
FILES: Final = (ROOT / "docs" / "cost.md", ROOT / "README.md")

_PART: Final = re.compile(r"(<!-- cost (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

Document = dict[str, Any]


def _messages(document: Document) -> Iterator[str]:
    yield "| message | bare client | this library adds | official adds | ratio (quartiles) |"
    yield "|---|---|---|---|---|"
    for row in document["rows"].values():
        official = row["compared"].get("official")
        if official is None:
            continue
        yield (
            f"| {row['title']} | {_us(row['bare_us'])} | {_us(row['ours_us'])} | "
            f"{_us(official['added_us'])} | {_ratio(official['ratio'])} |"
        )


def _short(document: Document) -> Iterator[str]:
    sampled, unsampled = (document["rows"][name] for name in ("encoded", "unsampled"))
    yield f"{_instead(sampled)} where everything is sampled and exported,"
    yield f"{_instead(unsampled)} where nothing is sampled"


def _instead(row: Document) -> str:
    return f"{_us(row['ours_us'])} instead of {_us(row['compared']['official']['added_us'])}"


def _others(document: Document) -> Iterator[str]:
    yield "| message | compared with | it adds | ratio (quartiles) |"
    yield "|---|---|---|---|"
    for row in document["rows"].values():
        for name, other in row["compared"].items():
            if name != "official":
                yield (
                    f"| {row['title']} | {name} | {_us(other['added_us'])} | "
                    f"{_ratio(other['ratio'])} |"
                )


def _throughput(document: Document) -> Iterator[str]:
    yield "| producer | messages per second, as a share of the bare client's (quartiles) |"
    yield "|---|---|"
    for name in ("batch-16k", "batch-64k"):
        row = document["rows"].get(name)
        if row is not None:
            share = row["throughput_share"]
            yield (
                f"| `{row['title']}` | {share['median']:.0%} "
                f"({share['low']:.0%}–{share['high']:.0%}) |"  # noqa: RUF001 - a range
            )


def _run(document: Document) -> Iterator[str]:
    machine = document["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    pinned = "broker and client pinned to a CPU each" if document["pinned"] else "not pinned"
    yield f"`{document['command']}`: {document['rounds']} rounds of {document['messages']:,}"
    yield f"messages, {pinned}; {machine['cpu']}, {machine['cores']} cores, {machine['system']},"
    yield f"{machine['python']}, {packages}."


_PARTS: Final = {
    "messages": _messages,
    "short": _short,
    "others": _others,
    "throughput": _throughput,
    "run": _run,
}


def _us(spread: dict[str, float] | None) -> str:
    return "–" if spread is None else f"{spread['median']:.1f} µs"  # noqa: RUF001 - no number


def _ratio(spread: dict[str, float] | None) -> str:
    if spread is None:
        return "–"  # noqa: RUF001 - no number
    return f"**{spread['median']:.2f}** ({spread['low']:.2f}–{spread['high']:.2f})"  # noqa: RUF001 - a range


def filled(text: str, document: Document) -> str:
    """Return a text with its generated parts made from the results.

    Raises:
        KeyError: The text has a part that is not known here.
    """

    def part(match: re.Match[str]) -> str:
        return "".join((match[1], *(f"{line}\n" for line in _PARTS[match[2]](document)), match[3]))

    return _PART.sub(part, text)


def main() -> None:
    """Write the tables, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 if a table differs")
    options = parser.parse_args()
    document = json.loads(RESULTS.read_text())
    for file in FILES:
        text = file.read_text()
        expected = filled(text, document)
        if text == expected:
            continue
        if options.check:
            sys.exit(f"{file.relative_to(ROOT)} differs from the results: run this without --check")
        file.write_text(expected)


if __name__ == "__main__":
    main()
