"""The command `publish`."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

import click

from dashboards.cli.config_option import config_option

if TYPE_CHECKING:
    from dashboards.config import Config

_MESSAGE: Final = "python -m dashboards publish"


@click.command("publish")
@config_option
@click.option("--url", required=True, help="Grafana's address, including a sub-path.")
@click.option(
    "--folder", default=None, metavar="UID", callback=lambda _context, _option, uid: _folder(uid),
    help="Grafana folder, created if it is missing. Without it, dashboards stay where they are.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
def publish_command(*, config: Config, url: str, folder: str, dry_run: bool) -> None:
    """Upload the dashboards to a running Grafana and show what changes.

    Set the environment variable GRAFANA_TOKEN to the token of a service account with the role
    Editor. Dashboards that are up to date are not touched. Alerts are not uploaded: load them into
    Prometheus, or provision Grafana with them.
    """
    from dashboards.boards.all_boards import make_boards
    from dashboards.publish.grafana_api import TOKEN_VARIABLE, GrafanaApi, PublishError
    from dashboards.publish.publish import check_version, publish_dashboards
    from dashboards.render.dashboard import dashboard_json

    dashboards = [dashboard_json(board, config) for board in make_boards(config)]
    try:
        with GrafanaApi(url, os.environ.get(TOKEN_VARIABLE, "")) as grafana:
            if not check_version(grafana):
                click.echo(
                    "Grafana hides its version; the dashboards need version 12 or newer", err=True
                )
            for each in publish_dashboards(
                grafana, dashboards, folder=folder, message=_MESSAGE, dry_run=dry_run
            ):
                if each.difference:
                    click.echo(each.difference)
                click.echo(f"{each.uid}: {each.change}{' (dry run)' * dry_run}", err=True)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except PublishError as error:
        raise click.ClickException(str(error)) from error


def _folder(uid: str | None) -> str:
    """Check the uid. An empty one is an error: it usually comes from an unset shell variable."""
    if uid is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", uid):
        raise click.BadParameter("a uid has 1 to 40 letters, digits, dashes or underscores")
    return uid or ""
