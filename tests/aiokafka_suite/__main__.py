"""Run aiokafka's own public-API tests with bare, wrapped and zero-code clients, and compare.

PATH is a checkout of aiokafka at the installed version. The compression tests pass if cramjam is
installed; otherwise they fail in every form. The tests run three times in sequence, each time on a
new Apache Kafka that this program starts. Tests that end differently, and are not explained in
`selection.py`, run again in both forms. A test that differs again is an error.

Exit codes: 0 without an unexplained difference; 1 with one, or if too few tests ran; 2 for an
unusable PATH.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import click

from demo_pipeline.broker import BrokerError
from tests.aiokafka_suite.checkout import UnusablePathError, copy_tests
from tests.aiokafka_suite.comparison import BARE, FORMS, Difference, Run, find_problems
from tests.aiokafka_suite.runner import Limits, Runner
from tests.aiokafka_suite.selection import EXPECTED, MIN_PASSED, MIN_SPANS, SKIPPED


@click.command(help=__doc__)
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--test-timeout", default=180.0, show_default=True, help="Time limit of one test, in seconds."
)
@click.option(
    "--run-timeout", default=3600.0, show_default=True, help="Time limit of one form, in seconds."
)
@click.option(
    "--again", default=3, show_default=True, help="How often a test that differs runs again."
)
@click.option(
    "--keyword",
    "-k",
    default="",
    help="Run only matching tests, like pytest's -k; the required numbers then do not apply.",
)
def main(*, path: Path, test_timeout: float, run_timeout: float, again: int, keyword: str) -> None:
    """Run from the command line."""
    with tempfile.TemporaryDirectory(prefix="aiokafka-suite-") as name:
        folder = Path(name)
        try:
            copy_tests(path, folder)
        except UnusablePathError as error:
            raise click.BadParameter(str(error), param_hint="PATH") from error
        runner = Runner(folder, Limits(test_timeout, run_timeout), keyword)
        try:
            problems = asyncio.run(_compare(runner, again, partial=bool(keyword)))
        except BrokerError as error:
            raise click.ClickException(str(error)) from error
    for problem in problems:
        click.echo(f"✗ {problem}")
    if problems:
        sys.exit(1)
    click.echo("✓ no unexplained difference")


async def _compare(runner: Runner, again: int, *, partial: bool) -> list[str]:
    for test, reason in SKIPPED.items():
        click.echo(f"skipped: {test}: {reason}")
    runs = [await runner.run(form) for form in FORMS]
    confirmed, unconfirmed = await runner.confirm(runs, again)
    click.echo("")
    for run in runs:
        click.echo(run.total())
    for test, detail in runs[0].details.items():
        if runs[0].outcomes[test] != "skipped":
            click.echo(f"fails bare: {test}: {detail.strip().splitlines()[-1]}")
    for difference in unconfirmed:
        click.echo(f"did not repeat: {difference}")
    for difference in confirmed:
        reason = EXPECTED.get((difference.form, difference.test), "unexplained")
        click.echo(f"differs: {difference}: {reason}")
        click.echo(_detail(runs, difference), err=True)
    return find_problems(
        runs,
        confirmed,
        EXPECTED,
        min_passed=1 if partial else MIN_PASSED,
        min_spans=1 if partial else MIN_SPANS,
    )


def _detail(runs: list[Run], difference: Difference) -> str:
    by_form = {run.form: run.details.get(difference.test, "") for run in runs}
    return by_form[difference.form] or by_form[BARE]


if __name__ == "__main__":
    main()
