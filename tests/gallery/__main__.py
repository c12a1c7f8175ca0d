"""Draw the dashboards from a real run, with Grafana's own components: what a person would see.

python -m tests.gallery                          run the shop, and draw all dashboards
python -m tests.gallery --prometheus URL         draw what a Prometheus has
python -m tests.gallery --board lag --picture docs/images/dashboards.svg

A run kills payment and takes the picture while it is dead. It needs Go, Java, Maven, npm and
Chromium; npm fetches the pinned packages of tests/gallery/page.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import httpx

from dashboards.boards.all_boards import make_boards
from dashboards.config import Config
from dashboards.render.dashboard import dashboard_json
from tests.dashboards.prometheus_binaries import HOW_TO_GET_IT, prometheus_folder
from tests.gallery.browser import (
    MissingProgramError,
    build_page,
    take_drawing,
    take_picture,
    write_page,
)
from tests.gallery.picture import BOARDS, readme_picture
from tests.gallery.queries import Asking, TimeRange
from tests.gallery.recording import recorded_shop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from typing import Any

# The shop exports every 5 s; with the default of a minute, minutes would be a few points.
_CONFIG = Config(min_step="15s")
_NAMES = [board.name for board in make_boards(_CONFIG)]


@click.command(help=__doc__)
@click.option("--prometheus", "url", help="Draw what this Prometheus has, instead of a run.")
@click.option("--end", type=float, help="End of the time shown, in seconds since 1970.")
@click.option("--minutes", default=8.0, show_default=True, help="Length of the time shown.")
@click.option("--rate", default=2.0, show_default=True, help="Orders per second of the run.")
@click.option("--board", "names", multiple=True, type=click.Choice(_NAMES), help="Only these.")
@click.option("--picture", type=click.Path(path_type=Path), help="Draw this SVG for the README.")
@click.option("--output", default=Path("build/gallery"), type=click.Path(path_type=Path))
def main(
    *,
    url: str | None,
    end: float | None,
    minutes: float,
    rate: float,
    names: tuple[str, ...],
    picture: Path | None,
    output: Path,
) -> None:
    """Run from the command line."""
    output = output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    chosen = list(names or _NAMES)
    asked = sorted({*chosen, *(BOARDS if picture else ())})
    try:
        bundle = build_page(output)
        shown = asyncio.run(_shown(url, end, minutes, rate, asked, output))
        for name in chosen:
            click.echo(take_picture(*write_page(shown[name], bundle, output, name)))
        if picture:
            page = write_page(readme_picture(shown), bundle, output, "readme")
            picture.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(take_drawing(*page), picture)
            click.echo(picture)
    except MissingProgramError as error:
        raise click.ClickException(str(error)) from error


async def _shown(
    url: str | None,
    end_s: float | None,
    minutes: float,
    rate: float,
    names: Sequence[str],
    folder: Path,
) -> dict[str, dict[str, Any]]:
    """Return what the page shows of each dashboard."""
    async with _prometheus(url, minutes, rate, folder) as address:
        end = end_s or time.time()
        times = TimeRange(end - minutes * 60, end)
        with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
            asking = Asking(client, times)
            return {
                board.name: {
                    "from": round(times.start_s * 1000),
                    "to": round(times.end_s * 1000),
                    **asking.board(json.loads(dashboard_json(board, _CONFIG))),
                }
                for board in make_boards(_CONFIG)
                if board.name in names
            }


@asynccontextmanager
async def _prometheus(
    url: str | None, minutes: float, rate: float, folder: Path
) -> AsyncIterator[str]:
    if url:
        yield url
        return
    binaries = prometheus_folder()
    if binaries is None:
        raise MissingProgramError(HOW_TO_GET_IT)
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir()
    async with recorded_shop(
        binaries, run, minutes=minutes, rate=rate, report=lambda line: click.echo(line, err=True)
    ) as server:
        yield server.url


if __name__ == "__main__":
    main()
