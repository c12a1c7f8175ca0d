"""The command `list`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from dashboards.cli.config_option import config_option

if TYPE_CHECKING:
    from dashboards.config import Config


@click.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_command(*, config: Config, as_json: bool) -> None:
    """List dashboards and alerts."""
    from dashboards.boards.all_boards import make_boards
    from dashboards.render.dashboard import uid_of
    from dashboards.rules.alerts import make_alerts

    boards = [
        {"uid": uid_of(board.name, config), "title": board.title, "answers": board.description}
        for board in make_boards(config)
    ]
    alerts = make_alerts(config)
    rules = [
        {"alert": alert.name, "severity": alert.severity, "for": alert.wait, "expr": alert.expr}
        for alert in alerts
    ]
    if as_json:
        click.echo(json.dumps({"dashboards": boards, "alerts": rules}, indent=2))
        return
    width = max(len(each) for each in (*(str(b["uid"]) for b in boards), *(a.name for a in alerts)))
    click.echo("dashboards")
    for board in boards:
        click.echo(f"  {board['uid']:<{width}}  {board['answers']}")
    click.echo("alerts")
    for alert in alerts:
        wait = "at once" if alert.wait == "0m" else f"after {alert.wait}"
        click.echo(f"  {alert.name:<{width}}  {alert.severity}, {wait}")
