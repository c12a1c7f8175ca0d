"""Before something is done: saying only what would be, and asking whether it is meant."""

from __future__ import annotations

import sys
from typing import Final

import click

json_option: Final = click.option(
    "--json", "as_json", is_flag=True, help="For machines: one JSON document."
)
yes_option: Final = click.option("--yes", is_flag=True, help="Do not ask.")
dry_run_option: Final = click.option("--dry-run", is_flag=True, help="Only say what would be done.")


def sure(question: str, *, yes: bool) -> None:
    """Ask a person at the terminal, unless the answer was given.

    Raises:
        click.UsageError: There is nobody to be asked.
        click.Abort: The answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is there to be asked: add --yes, or choose letters")
    click.confirm(question, abort=True, err=True)
