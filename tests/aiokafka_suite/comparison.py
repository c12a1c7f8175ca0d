"""Compare the outcomes of wrapped and zero-code clients with those of bare clients."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

BARE: Final = "bare"
FORMS: Final = (BARE, "wrapped", "zero-code")
UNFINISHED: Final = "unfinished"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the suite.

    Attributes:
        form: The form of the clients, one of `FORMS`.
        outcomes: The outcome of each test, by name: passed, failed, skipped, error or unfinished.
        details: The reason why a test did not pass, by name.
        spans: Number of spans.
        seconds: Duration of the run.
    """

    form: str
    outcomes: Mapping[str, str]
    details: Mapping[str, str] = field(default_factory=dict)
    spans: int = 0
    seconds: float = 0.0

    def total(self) -> str:
        """Summarize the run in one line."""
        counts = Counter(self.outcomes.values())
        parts = [f"{counts[name]} {name}" for name in sorted(counts)]
        return (
            f"{self.form}: {', '.join(parts) or 'nothing ran'}; "
            f"{len(self.outcomes)} tests, {self.spans} spans, {self.seconds:.0f} s"
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """A test that ended differently than with bare clients."""

    test: str
    form: str
    bare: str
    outcome: str

    def __str__(self) -> str:
        return f"{self.test}: {self.bare} bare, {self.outcome} {self.form}"


def read_run(form: str, journal: Path, seconds: float) -> Run:
    """Read the journal of a run. A test without an outcome is unfinished.

    Args:
        form: The form of the clients.
        journal: The plugin's lines of JSON. The file may be missing or cut off anywhere.
        seconds: Duration of the run.
    """
    outcomes: dict[str, str] = {}
    details: dict[str, str] = {}
    spans = 0
    for line in journal.read_text().splitlines() if journal.exists() else ():
        try:
            entry = json.loads(line)
        except ValueError:  # the run was killed while writing
            continue
        for test in entry.get("collected", ()):
            outcomes.setdefault(test, UNFINISHED)
        if "test" in entry:
            outcomes[entry["test"]] = entry["outcome"]
            if entry["detail"]:
                details[entry["test"]] = entry["detail"]
        spans = entry.get("spans", spans)
    return Run(form, outcomes, details, spans, seconds)


def differences(bare: Run, other: Run, names: Collection[str] | None = None) -> list[Difference]:
    """List the tests that ended differently, including tests that only one of the two ran.

    Args:
        bare: The run with aiokafka's own clients.
        other: The run to compare.
        names: Restricts the comparison to these tests.
    """
    tests = sorted({*bare.outcomes, *other.outcomes} if names is None else names)
    return [
        Difference(test, other.form, before, after)
        for test in tests
        if (before := bare.outcomes.get(test, "not run"))
        != (after := other.outcomes.get(test, "not run"))
    ]


def is_steady(difference: Difference, again: Sequence[tuple[Run, Run]]) -> bool:
    """Return whether a difference shows again in further pairs of runs, bare and other.

    A test with varying outcomes for bare clients proves nothing, so it is not steady.
    """
    before = [bare.outcomes.get(difference.test, "not run") for bare, _ in again]
    after = [other.outcomes.get(difference.test, "not run") for _, other in again]
    return {difference.bare} == set(before) and {difference.bare} != set(after)


def find_problems(
    runs: Sequence[Run],
    confirmed: Collection[Difference],
    expected: Mapping[tuple[str, str], str],
    *,
    min_passed: int,
    min_spans: int,
) -> list[str]:
    """List the problems; empty if all forms ended alike, except for the expected differences.

    Args:
        runs: One run of each form, bare first.
        confirmed: The confirmed differences.
        expected: The reasons for expected differences, by form and test.
        min_passed: The number of tests that must pass bare.
        min_spans: The number of spans that each instrumented form must make.
    """
    problems = [
        str(difference)
        for difference in confirmed
        if (difference.form, difference.test) not in expected
    ]
    bare = runs[0]
    passed = Counter(bare.outcomes.values())["passed"]
    if passed < min_passed:
        problems.append(f"only {passed} tests passed bare, {min_passed} are required")
    for run in runs:
        if run.form == BARE and run.spans:
            problems.append(f"bare clients made {run.spans} spans: something instruments them")
        if run.form != BARE and run.spans < min_spans:
            problems.append(f"{run.form} clients made {run.spans} spans, {min_spans} are required")
        stale = [
            test
            for form, test in expected
            if form == run.form
            and test in run.outcomes
            and not any((one.form, one.test) == (form, test) for one in confirmed)
        ]
        problems += [f"{test}: expected to differ {run.form}, but does not" for test in stale]
    return problems
