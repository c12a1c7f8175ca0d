"""Queries on given series, by promtool: one value every 30 s, and the results at 60 minutes."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def as_grafana_sends(query: str, window: str = "10m") -> str:
    """Replace the variables of a query: windows by this one, and choices by all."""
    query = re.sub(r"\$(__rate_interval|__interval|__range|interval)\b", window, query)
    return re.sub(r'"\$[a-z_]+"', '".*"', query)


def check_queries(
    expected: Sequence[tuple[str, float | None]],
    series: Mapping[str, str],
    binaries: Path,
    folder: Path,
) -> None:
    """Check the results of queries, all with the same series.

    Args:
        expected: Queries that drop all labels, each with its value, or `None` if it has no result.
        series: The series and their values.
        binaries: The folder with promtool.
        folder: A temporary folder.
    """
    document = {
        "evaluation_interval": "30s",
        "fuzzy_compare": True,
        "tests": [
            {
                "interval": "30s",
                "input_series": [{"series": k, "values": v} for k, v in series.items()],
                "promql_expr_test": [
                    {
                        "expr": as_grafana_sends(query),
                        "eval_time": "60m",
                        "exp_samples": [] if value is None else [{"labels": "{}", "value": value}],
                    }
                    for query, value in expected
                ],
            }
        ],
    }
    file = folder / "test.yaml"
    file.write_text(json.dumps(document))
    done = subprocess.run(
        [binaries / "promtool", "test", "rules", file], check=False, capture_output=True, text=True
    )
    assert 0 == done.returncode, done.stdout + done.stderr
