"""Print the instrumentation's cost as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.overhead_figures import VARIANTS, ratios_of, shares_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.overhead_figures import Cost, Variant


def table(results: Mapping[Variant, Cost]) -> str:
    """Format the result as text."""
    bare = results[VARIANTS[0]]
    heading = f"{'CPU µs per message':<38}{'send':>8}{'added':>8}{'msg/s':>9}"
    lines = [f"{heading}{'receive':>10}{'added':>8}{'msg/s':>9}"]
    lines.extend(
        f"{variant.name:<38}{cost.send_us:>8.1f}{cost.send_us - bare.send_us:>8.1f}"
        f"{cost.send_rate:>9.0f}{cost.receive_us:>10.1f}"
        f"{cost.receive_us - bare.receive_us:>8.1f}{cost.receive_rate:>9.0f}"
        for variant, cost in results.items()
    )
    lines += ["", f"{'added by ours / added by official':<38}{'send':>8}{'receive':>10}{'both':>8}"]
    for label, ratios in ratios_of(results).items():
        lines.append(
            f"{label:<38}{ratios['send']:>8.2f}{ratios['receive']:>10.2f}{ratios['both']:>8.2f}"
        )
    lines += ["", f"{'added by ours, all sampled':<38}{'send':>8}{'receive':>10}"]
    for label, share in shares_of(results).items():
        lines.append(f"{label:<38}{share['send']:>8.1f}{share['receive']:>10.1f}")
    return "\n".join(lines)
