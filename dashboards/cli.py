"""`python -m dashboards`: generate, check, publish and list dashboards and rules."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import click
import httpx

from dashboards.boards.all_boards import all_boards
from dashboards.config import Config, ConfigError, load_config
from dashboards.files import FORMATS, generated
from dashboards.publishing import TOKEN_VARIABLE, Grafana, PublishError
from dashboards.render.dashboard import dashboard_json, uid_of
from dashboards.rules.alerts import alerts

if TYPE_CHECKING:
    from dashboards.files import Format

_GENERATED: Final = Path(__file__).parent / "generated"
_NAMED_AT_MOST: Final = 5
_TIMEOUT_S: Final = 30.0


class _ConfigType(click.ParamType[Config]):
    name = "file"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Config:
        """Read the file."""
        if isinstance(value, Config):
            return value
        try:
            return load_config(Path(str(value)))
        except ConfigError as error:
            self.fail(str(error), param, ctx)


_CONFIG = click.option(
    "--config", type=_ConfigType(), default=Config(), show_default="built in", metavar="FILE",
    help="YAML: prefix, title, selector, datasources, objectives, grafana_url, runbook_url, "
    "labels, recording_rules.",
)  # fmt: skip


@click.group()
def cli() -> None:
    """Grafana dashboards and alert rules, made from the catalogue of metrics."""


@cli.command()
@_CONFIG
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=_GENERATED,
    show_default="dashboards/generated", help="The folder to write to.",
)  # fmt: skip
@click.option("--format", "form", type=click.Choice(FORMATS), default="grafana", show_default=True)
@click.option("--check", is_flag=True, help="Write nothing; fail if the files are not up to date.")
def generate(*, config: Config, out: Path, form: str, check: bool) -> None:
    """Write dashboards and rules, sorted and stable."""
    files = generated(config, cast("Format", form))
    if check:
        stale = _stale(out, files)
        if stale:
            named = ", ".join(stale[:_NAMED_AT_MOST]) + ", …" * (len(stale) > _NAMED_AT_MOST)
            raise click.ClickException(
                f"{len(stale)} of {len(files)} files in {out} are not up to date: {named}; "
                "mend it: python -m dashboards generate"
            )
        click.echo(f"all {len(files)} files are up to date")
        return
    for name, written in files.items():
        file = out / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(written, encoding="utf-8")
    click.echo(f"{len(files)} files in {out}")


@cli.command("list")
@_CONFIG
@click.option("--json", "as_json", is_flag=True, help="As JSON, for machines.")
def list_command(*, config: Config, as_json: bool) -> None:
    """List dashboards and alerts."""
    boards = [
        {"uid": uid_of(board.name, config), "title": board.title, "answers": board.description}
        for board in all_boards(config)
    ]
    rules = [
        {"alert": alert.name, "severity": alert.severity, "for": alert.wait, "expr": alert.expr}
        for alert in alerts(config)
    ]
    if as_json:
        click.echo(json.dumps({"dashboards": boards, "alerts": rules}, indent=2))
        return
    for board in boards:
        click.echo(f"{board['uid']:<24} {board['answers']}")
    for rule in rules:
        click.echo(f"{rule['alert']:<24} {rule['severity']}, after {rule['for']}")


@cli.command()
@_CONFIG
@click.option("--url", required=True, help="Grafana's address, with its sub-path if it has one.")
@click.option("--folder", default="", metavar="UID", help="The folder; made where it is missing.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
def publish(*, config: Config, url: str, folder: str, dry_run: bool) -> None:
    """Bring the dashboards into a running Grafana, and show what that changes.

    The token of a service account comes from the environment variable GRAFANA_TOKEN. What is up to
    date is left alone. Rules are no part of this: provision them, or load them into Prometheus.
    """
    token = os.environ.get(TOKEN_VARIABLE)
    if not token:
        raise click.UsageError(f"put the token of a service account into {TOKEN_VARIABLE}")
    written = [dashboard_json(board, config) for board in all_boards(config)]
    headers = {"Authorization": f"Bearer {token}"}
    try:
        with httpx.Client(base_url=url, headers=headers, timeout=_TIMEOUT_S) as client:
            grafana = Grafana(client)
            grafana.check_version()
            found = grafana.publish(
                written, folder=folder, message="python -m dashboards publish", dry_run=dry_run
            )
    except (PublishError, httpx.InvalidURL) as error:
        raise click.ClickException(str(error)) from error
    for each in found:
        if each.difference:
            click.echo(each.difference)
    for each in found:
        click.echo(f"{each.uid}: {each.change}{' (dry run)' if dry_run else ''}", err=True)


def _stale(out: Path, files: dict[str, str]) -> list[str]:
    found = []
    for name, written in files.items():
        try:
            current = (out / name).read_text(encoding="utf-8")
        except OSError:
            current = None
        if current != written:
            found.append(name)
    return found
