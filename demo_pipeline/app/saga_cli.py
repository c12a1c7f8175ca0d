"""The commands `saga list` and `saga show`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
import msgspec
from rich.console import Console

from demo_pipeline.app.saga_output import print_saga, print_sagas
from demo_pipeline.app.saga_status import STATES, Wanted, listed, shown
from demo_pipeline.runtime.database import database_url, existing_database
from demo_pipeline.runtime.errors import DemoError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

Result = TypeVar("Result")

_OBSERVED = click.option(
    "--observed",
    is_flag=True,
    help="The flow order-notification, which nobody orchestrates, from the observer's database.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="As JSON, for machines.")


@click.group("saga")
def saga_group() -> None:
    """Look at sagas: where they stand, and what they did.

    Reads the orchestrator's database: orchestrator.sqlite3 in the current folder, or what the
    environment variable ORCHESTRATOR_DATABASE_URL names.
    """


@saga_group.command("list")
@click.option("--overdue", is_flag=True, help="Only those under way after their deadline.")
@click.option("--active", is_flag=True, help="Only those that have not ended.")
@click.option(
    "--state",
    "states",
    type=click.Choice(STATES),
    multiple=True,
    metavar="STATE",
    help="Only those in this state, such as charge-card, compensated or failed; repeat for more.",
)
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@_OBSERVED
@_JSON
def list_command(
    *, overdue: bool, active: bool, states: tuple[str, ...], limit: int, observed: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """List sagas, those that started last first."""
    wanted = Wanted(states=states, active=active, overdue=overdue, limit=limit)
    found = _read(lambda database: listed(database, wanted, observed=observed), observed=observed)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        print_sagas(found, Console())


@saga_group.command("show")
@click.argument("saga_id", metavar="ID")
@_OBSERVED
@_JSON
def show_command(*, saga_id: str, observed: bool, as_json: bool) -> None:
    """Show the saga of the order ID: its steps with times, commands, compensation and trace."""
    found = _read(lambda database: shown(database, saga_id, observed=observed), observed=observed)
    if found is None:
        raise DemoError(f"there is no saga {saga_id}; `saga list` shows which there are")
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        print_saga(found, Console())


def _read(read: Callable[[AsyncEngine], Awaitable[Result]], *, observed: bool) -> Result:
    service = "observer" if observed else "orchestrator"

    async def reading() -> Result:
        async with existing_database(service, database_url(service, Path())) as database:
            return await read(database)

    return asyncio.run(reading())
