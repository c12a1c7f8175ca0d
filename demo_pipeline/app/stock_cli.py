"""The commands `stock list`, `stock show` and `stock verify`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from demo_pipeline.app.options import json_option, print_json
from demo_pipeline.runtime.errors import DemoError
from tracing.cli.groups import LazyGroup

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from demo_pipeline.app.stock_status import Until

Result = TypeVar("Result")

_DATABASES = click.option(
    "--databases",
    type=click.Path(path_type=Path),
    default=Path(),
    metavar="DIR",
    help="The folder of inventory.sqlite3.  [default: the current folder]",
)


class _Until(click.ParamType["Until"]):
    """How far to read a stream."""

    name = "TIME|SEQUENCE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Until:
        """Convert the text."""
        from demo_pipeline.app.stock_status import Until, parse_until

        if isinstance(value, Until):
            return value
        try:
            return parse_until(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _everything() -> Until:
    """Return the bound of a stream that is read to its end."""
    from demo_pipeline.app.stock_status import Until

    return Until()


@click.group("stock", cls=LazyGroup)
def stock_group() -> None:
    """Show the stock of products, now or earlier, or check its log.

    The stock of a product is computed from its events. Reads the inventory's database:
    inventory.sqlite3 in the folder of `run --databases`, unless the environment variable
    INVENTORY_DATABASE_URL names another one.

    The service reads INVENTORY_SNAPSHOT_EVERY: after how many events of a product it makes a
    snapshot (20 by default).
    """


@stock_group.command("list")
@_DATABASES
@json_option
def list_command(*, databases: Path, as_json: bool) -> None:
    """List the stock of all products."""
    from rich.console import Console

    from demo_pipeline.app.stock_output import print_stock
    from demo_pipeline.app.stock_status import listed

    stock = _read(databases, listed)
    if as_json:
        print_json(stock)
    else:
        print_stock(stock, Console())


@stock_group.command("show")
@click.argument("sku", metavar="SKU")
@click.option(
    "--at",
    "until",
    type=_Until(),
    default=_everything,
    help="The stock after this event (its number in the product's log), or at this time: ISO 8601, "
    "UTC without a zone, or an age such as 15m or 2d.  [default: now]",
)
@click.option("--from-beginning", is_flag=True, help="Use every event and no snapshot.")
@click.option(
    "--events",
    type=click.IntRange(min=0, max=10_000),
    default=10,
    show_default=True,
    help="Number of last events to show.",
)
@_DATABASES
@json_option
def show_command(
    *, sku: str, until: Until, from_beginning: bool, events: int, databases: Path, as_json: bool
) -> None:
    """Show the stock of the product SKU, and the events that led to it."""
    from rich.console import Console

    from demo_pipeline.app.stock_output import print_product
    from demo_pipeline.app.stock_status import shown

    stock = _read(
        databases,
        lambda database: shown(database, sku, until, from_beginning=from_beginning, events=events),
    )
    if as_json:
        print_json(stock)
    else:
        print_product(stock, Console())


@stock_group.command("verify")
@_DATABASES
@json_option
def verify_command(*, databases: Path, as_json: bool) -> None:
    """Rebuild all products from their first event, and compare.

    The result has to be equal to every snapshot, to the current stock and to what each order was
    answered. Exits with 1 if something differs. Services may run meanwhile.
    """
    from rich.console import Console

    from demo_pipeline.app.stock_output import print_check
    from demo_pipeline.app.stock_verify import verified

    check = _read(databases, verified)
    if as_json:
        print_json(check)
    else:
        print_check(check, Console())
    if check.all_problems:
        raise DemoError("\n".join(check.all_problems))


def _read(folder: Path, read: Callable[[AsyncEngine], Awaitable[Result]]) -> Result:
    from demo_pipeline.runtime.database import database_url, existing_database
    from demo_pipeline.services import inventory

    name = inventory.SERVICE.name

    async def reading() -> Result:
        async with existing_database(name, database_url(name, folder)) as database:
            return await read(database)

    return asyncio.run(reading())
