"""What a form's outcomes say beside those of the bare clients."""

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
        form: How the clients were made, one of `FORMS`.
        outcomes: How each test ended, by name: passed, failed, skipped, error or unfinished.
        details: Why a test did not pass, by name.
        spans: How many spans were made.
        seconds: How long it took.
    """

    form: str
    outcomes: Mapping[str, str]
    details: Mapping[str, str] = field(default_factory=dict)
    spans: int = 0
    seconds: float = 0.0

    def total(self) -> str:
        """One line of figures."""
        counts = Counter(self.outcomes.values())
        parts = [f"{counts[name]} {name}" for name in sorted(counts)]
        return (
            f"{self.form}: {', '.join(parts) or 'nothing ran'}; "
            f"{len(self.outcomes)} tests, {self.spans} spans, {self.seconds:.0f} s"
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """A test that ended otherwise than with bare clients."""

    test: str
    form: str
    bare: str
    outcome: str

    def __str__(self) -> str:
        return f"{self.test}: {self.bare} bare, {self.outcome} {self.form}"


def read_run(form: str, journal: Path, seconds: float) -> Run:
    """Read what a run wrote down; a test without an outcome is unfinished.

    Args:
        form: How the clients were made.
        journal: Lines of JSON, as the plugin writes them; may be absent or end anywhere.
        seconds: How long the run took.
    """
    outcomes: dict[str, str] = {}
    details: dict[str, str] = {}
    spans = 0
    for line in journal.read_text().splitlines() if journal.exists() else ():
        try:
            entry = json.loads(line)
        except ValueError:  # the run was killed while it wrote
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
    """List the tests that ended differently, those too that only one of the two ran.

    Args:
        bare: The run with aiokafka's own clients.
        other: The run to compare.
        names: Only these tests.
    """
    tests = sorted({*bare.outcomes, *other.outcomes} if names is None else names)
    return [
        Difference(test, other.form, before, after)
        for test in tests
        if (before := bare.outcomes.get(test, "not run"))
        != (after := other.outcomes.get(test, "not run"))
    ]


def steady(difference: Difference, again: Sequence[tuple[Run, Run]]) -> bool:
    """Whether a difference shows in further pairs of runs, bare and other, as well.

    It does not where the test ends now so, now otherwise with bare clients: then it says nothing.
    """
    before = [bare.outcomes.get(difference.test, "not run") for bare, _ in again]
    after = [other.outcomes.get(difference.test, "not run") for _, other in again]
    return {difference.bare} == set(before) and {difference.bare} != set(after)


def problems(
    runs: Sequence[Run],
    confirmed: Collection[Difference],
    expected: Mapping[tuple[str, str], str],
    *,
    floor: int,
    spans: int,
) -> list[str]:
    """Say what is wrong; nothing where all forms ended alike, or as is explained.

    Args:
        runs: One of each form, the bare one first.
        confirmed: What differs.
        expected: What may differ: the reason by form and test.
        floor: How many tests have to pass bare.
        spans: How many spans the others have to make.
    """
    found = [
        str(difference)
        for difference in confirmed
        if (difference.form, difference.test) not in expected
    ]
    bare = runs[0]
    passed = Counter(bare.outcomes.values())["passed"]
    if passed < floor:
        found.append(f"only {passed} tests passed bare, {floor} have to")
    for run in runs:
        made = run.spans
        if run.form == BARE and made:
            found.append(f"bare clients made {made} spans: something instruments them")
        if run.form != BARE and made < spans:
            found.append(f"{run.form} clients made {made} spans, {spans} are the least")
        stale = [
            test
            for form, test in expected
            if form == run.form
            and test in run.outcomes
            and not any((one.form, one.test) == (form, test) for one in confirmed)
        ]
        found += [f"{test}: expected to differ {run.form}, and does not" for test in stale]
    return found
