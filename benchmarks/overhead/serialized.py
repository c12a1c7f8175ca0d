"""The result as JSON: of `--json`, and of the files in `benchmarks/results`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from benchmarks.overhead.figures import shares

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.overhead.figures import Result, Spread

_DIGITS = 3


def document_of(run: Mapping[str, Any], results: Sequence[Result]) -> dict[str, Any]:
    """Return the document of a run: how it was made, and the figures of each row.

    Args:
        run: The command, its settings and the machine.
        results: The figures.
    """
    return {
        **run,
        "units": {"us": "CPU µs per message", "ratio": "added by ours / added by the other"},
        "rows": {result.row.name: _row(result) for result in results},
        "shares_us": {
            part: {phase: round(us, _DIGITS) for phase, us in phases.items()}
            for part, phases in shares(results).items()
        },
    }


def _row(result: Result) -> dict[str, Any]:
    row = result.row
    return {
        "title": row.title,
        "sampled": row.sampled,
        "encoded": row.encoded,
        "goal": row.goal,
        "held": result.held,
        "bare_us": _spread(result.bare_us),
        "ours_us": _spread(result.ours_us),
        "ours_by_phase_us": {phase: _spread(us) for phase, us in result.phases_us.items()},
        "ours_flat_off_us": _spread(result.flat_off_us),
        "compared": {
            other.name: {"added_us": _spread(other.added_us), "ratio": _spread(other.ratio)}
            for other in result.compared
        },
        "throughput_share": _spread(result.throughput),
        "flat_path": None if result.flat is None else asdict(result.flat),
    }


def _spread(spread: Spread | None) -> dict[str, float] | None:
    if spread is None:
        return None
    return {name: round(value, _DIGITS) for name, value in asdict(spread).items()}
