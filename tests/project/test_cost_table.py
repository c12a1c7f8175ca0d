"""The figures in the documentation are those of the committed results."""

from __future__ import annotations

import json
import re
from typing import get_args

import pytest

from benchmarks.cost_table import FILES, RESULTS, ROOT, filled
from benchmarks.overhead.rows import ROWS
from tracing.messaging.flat.engine import Reason


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_tables_are_those_of_the_results(file: object) -> None:
    text = (ROOT / str(file)).read_text()

    assert filled(text, json.loads(RESULTS.read_text())) == text, (
        "run python -m benchmarks.cost_table"
    )


def test_a_changed_number_is_noticed() -> None:
    document = json.loads(RESULTS.read_text())
    text = (ROOT / "docs" / "cost.md").read_text()
    changed = re.sub(r"\*\*0\.\d\d\*\*", "**0.01**", text)

    assert changed != text
    assert filled(changed, document) == text


def test_the_results_have_the_rows_with_goals_and_say_where_they_were_measured() -> None:
    document = json.loads(RESULTS.read_text())
    goals = {row.name: row.goal for row in ROWS}

    assert {name for name, goal in goals.items() if goal} <= set(document["rows"])
    assert {name: goals[name] for name in document["rows"]} == {
        name: row["goal"] for name, row in document["rows"].items()
    }
    assert {"cpu", "cores", "python", "packages", "system"} == set(document["machine"])
    assert document["command"].startswith("python -m benchmarks.overhead")


def test_the_documentation_lists_why_messages_leave_the_flat_path() -> None:
    text = (ROOT / "docs" / "cost.md").read_text()
    lines = re.findall(r"^- ((?:`\w+`(?:, )?)+):", text, re.MULTILINE)

    assert [*get_args(Reason)] == re.findall(r"`(\w+)`", " ".join(lines))
