"""Run aiokafka's own public-API tests with bare, wrapped and zero-code clients, and compare.

PATH is a checkout of aiokafka at the version that is installed here. With cramjam installed beside
it, the tests of compression pass; without, they fail in each form alike. The tests run three times
one after the other, each time on a new Apache Kafka, which this starts. What ends differently, and
is not explained in `chosen.py`, runs again in both forms; what differs then as well is an error.

Exit codes: 0 without an unexplained difference; 1 with one, or where too few tests ran; 2 for a
PATH that cannot be used.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import click

from demo_pipeline.broker import BrokerError
from tests.aiokafka_suite.checkout import UnusableError, lay_out
from tests.aiokafka_suite.chosen import EXPECTED, FLOOR, LEFT_OUT, SPANS
from tests.aiokafka_suite.comparison import BARE, FORMS, Difference, Run, problems
from tests.aiokafka_suite.running import Limits, Runner


@click.command(help=__doc__)
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--test-timeout", default=180.0, show_default=True, help="Seconds that one test may take."
)
@click.option(
    "--run-timeout", default=3600.0, show_default=True, help="Seconds that one form may take."
)
@click.option("--again", default=3, show_default=True, help="How often a difference runs again.")
@click.option(
    "--keyword",
    "-k",
    default="",
    help="Only tests that match, as pytest's -k; then no floor holds.",
)
def main(*, path: Path, test_timeout: float, run_timeout: float, again: int, keyword: str) -> None:
    """Run from the command line."""
    with tempfile.TemporaryDirectory(prefix="aiokafka-suite-") as name:
        folder = Path(name)
        try:
            lay_out(path, folder)
        except UnusableError as error:
            raise click.BadParameter(str(error), param_hint="PATH") from error
        runner = Runner(folder, Limits(test_timeout, run_timeout), keyword)
        try:
            found = asyncio.run(_compare(runner, again, part=bool(keyword)))
        except BrokerError as error:
            raise click.ClickException(str(error)) from error
    for problem in found:
        click.echo(f"✗ {problem}")
    if found:
        sys.exit(1)
    click.echo("✓ no unexplained difference")


async def _compare(runner: Runner, again: int, *, part: bool) -> list[str]:
    for test, reason in LEFT_OUT.items():
        click.echo(f"left out: {test}: {reason}")
    runs = [await runner.run(form) for form in FORMS]
    confirmed, unsteady = await runner.confirm(runs, again)
    click.echo("")
    for run in runs:
        click.echo(run.total())
    for test, detail in runs[0].details.items():
        if runs[0].outcomes[test] != "skipped":
            click.echo(f"fails bare: {test}: {detail.strip().splitlines()[-1]}")
    for difference in unsteady:
        click.echo(f"did not differ again: {difference}")
    for difference in confirmed:
        reason = EXPECTED.get((difference.form, difference.test), "unexplained")
        click.echo(f"differs: {difference}: {reason}")
        click.echo(_detail(runs, difference), err=True)
    return problems(
        runs, confirmed, EXPECTED, floor=1 if part else FLOOR, spans=1 if part else SPANS
    )


def _detail(runs: list[Run], difference: Difference) -> str:
    by_form = {run.form: run.details.get(difference.test, "") for run in runs}
    return by_form[difference.form] or by_form[BARE]


if __name__ == "__main__":
    main()
