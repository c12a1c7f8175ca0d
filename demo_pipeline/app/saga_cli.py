"""The commands `saga list` and `saga show`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from demo_pipeline.app.options import LazyChoice, json_option, print_json
from demo_pipeline.runtime.errors import DemoError
from tracing.cli.groups import LazyGroup

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

Result = TypeVar("Result")

_OBSERVED = click.option(
    "--observed",
    is_flag=True,
    help="Read the flow order-notification, which has no orchestrator, from the observer's "
    "database.",
)


@click.group("saga", cls=LazyGroup)
def saga_group() -> None:
    """List sagas, or show one in detail.

    Reads the orchestrator's database: orchestrator.sqlite3 in the current folder, unless the
    environment variable ORCHESTRATOR_DATABASE_URL names another one.
    """


@saga_group.command("list")
@click.option("--overdue", is_flag=True, help="Only active sagas past their deadline.")
@click.option("--active", is_flag=True, help="Only sagas that have not ended.")
@click.option(
    "--state",
    "states",
    type=LazyChoice("demo_pipeline.app.saga_status:STATES"),
    multiple=True,
    metavar="STATE",
    help="Only sagas in this state, such as charge-card, compensated or failed; may be repeated.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="Maximum number of sagas.",
)
@_OBSERVED
@json_option
def list_command(
    *, overdue: bool, active: bool, states: tuple[str, ...], limit: int, observed: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """List sagas, latest first."""
    from rich.console import Console

    from demo_pipeline.app.saga_output import print_sagas
    from demo_pipeline.app.saga_status import SagaSelection, listed

    selection = SagaSelection(states=states, active=active, overdue=overdue, limit=limit)
    sagas = _read(
        lambda database: listed(database, selection, observed=observed), observed=observed
    )
    if as_json:
        print_json(sagas)
    else:
        print_sagas(sagas, Console())


@saga_group.command("show")
@click.argument("saga_id", metavar="ID")
@_OBSERVED
@json_option
def show_command(*, saga_id: str, observed: bool, as_json: bool) -> None:
    """Show the saga of the order ID, step by step."""
    from rich.console import Console

    from demo_pipeline.app.saga_output import print_saga
    from demo_pipeline.app.saga_status import shown

    saga = _read(lambda database: shown(database, saga_id, observed=observed), observed=observed)
    if saga is None:
        raise DemoError(f"there is no saga {saga_id}; `saga list` lists all sagas")
    if as_json:
        print_json(saga)
    else:
        print_saga(saga, Console())


def _read(read: Callable[[AsyncEngine], Awaitable[Result]], *, observed: bool) -> Result:
    from demo_pipeline.runtime.database import database_url, existing_database

    service = "observer" if observed else "orchestrator"

    async def reading() -> Result:
        async with existing_database(service, database_url(service, Path())) as database:
            return await read(database)

    return asyncio.run(reading())
