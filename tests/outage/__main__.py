"""Break a running shop on Kafka in many ways, and see what dashboards and alerts make of it.

python -m tests.outage                                   a whole run, some 100 minutes
python -m tests.outage steady payment-killed --minutes 6  some chapters

It prints when each alert fired and was resolved, and the dashboards' numbers beside the truth. The
exit code is 1 if a number is wrong, or if an alert fired in a quiet chapter.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tests.dashboards.prometheus_binaries import HOW_TO_GET_IT, prometheus_folder
from tests.outage.panels import left_out
from tests.outage.story import CHAPTERS, run_story

if TYPE_CHECKING:
    from tests.outage.story import Story

_QUIET = frozenset({"steady", "quiet-half-hour"})


@click.command(help=__doc__)
@click.argument("chapters", nargs=-1, type=click.Choice(tuple(CHAPTERS)))
@click.option("--rate", default=2.0, show_default=True, help="Orders per second.")
@click.option("--minutes", default=6.0, show_default=True, help="Length of each fault.")
def main(*, chapters: tuple[str, ...], rate: float, minutes: float) -> None:
    """Run from the command line."""
    binaries = prometheus_folder()
    if binaries is None:
        raise click.ClickException(HOW_TO_GET_IT)
    folder = Path(tempfile.mkdtemp(prefix="outage-"))
    story = asyncio.run(
        run_story(
            binaries, folder, chapters or tuple(CHAPTERS), rate=rate, minutes=minutes, report=_print
        )
    )
    _show(story)
    wrong = [figure for figure in story.shown if not figure.fits]
    noise = [
        alert
        for chapter in story.chapters
        if chapter.name in _QUIET
        for alert in story.alerts.fired(chapter.start_s, chapter.end_s)
    ]
    if wrong or noise:
        click.echo(
            f"{len(wrong)} numbers are wrong, {len(noise)} alerts fired in a quiet chapter; "
            f"databases and logs are in {folder}",
            err=True,
        )
        sys.exit(1)
    shutil.rmtree(folder)


def _show(story: Story) -> None:
    click.echo(f"{story.accepted} orders")
    for chapter in story.chapters:
        click.echo(f"\n{chapter.name}: {chapter.start_s:.0f} to {chapter.end_s:.0f} s")
        for line in story.alert_lines(chapter):
            click.echo(line)
    click.echo(f"\n  {'what':<78}{'shown':>12}{'truth':>12}")
    for figure in story.shown:
        click.echo(figure)
    click.echo("\nnot compared")
    for panel, reason in left_out(story.compared).items():
        click.echo(f"  {panel}: {reason}")


def _print(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    main()
