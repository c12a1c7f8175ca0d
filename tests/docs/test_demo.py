"""The page on the demo: its commands, options, scenarios and dashboards exist."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import click

from dashboards.boards.all_boards import make_boards
from dashboards.config import Config
from demo_pipeline.app.cli import cli
from demo_pipeline.runtime.scenarios import SCENARIOS
from tests.docs.pages import ROOT
from tracing.cli.groups import LazyCommand

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT = (ROOT / "docs" / "demo.md").read_text()
PROGRAM = "python -m demo_pipeline "
ROOTS = tuple(f"{name} " for name in cli.commands)


def spans() -> list[str]:
    """Return what the page sets as code in its sentences."""
    prose = re.sub(r"^```.*?^```", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def command_lines() -> list[list[str]]:
    """Return the arguments of the demo's commands on the page."""
    lines = [span.removeprefix(".venv/bin/").removeprefix(PROGRAM) for span in spans()]
    # What the reader fills in: the addresses of brokers.
    return [
        shlex.split(line.replace("…", "HOST:9092"))
        for line in lines
        if f"{line} ".startswith(ROOTS)
    ]


def commands(
    command: click.Command = cli, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Return the demo's commands, by their path."""
    if isinstance(command, LazyCommand):
        command = command.load()
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name, below in command.commands.items():
        yield from commands(below, (*path, name))


def test_each_command_line_is_one_of_the_demo() -> None:
    known = dict(commands())
    lines = command_lines()

    assert len(lines) > 10
    for line in lines:
        (path,) = (path for path in known if list(path) == line[: len(path)])
        parser = known[path].make_parser(click.Context(known[path]))
        parser.parse_args(line[len(path) :])


def test_each_option_is_one_of_the_demo() -> None:
    known = {option for _, command in commands() for each in command.params for option in each.opts}
    named = {option for span in spans() for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", span)}

    assert len(named) > 10
    assert set() == named - known - {"--help"}


def test_each_scenario_is_described_and_exists() -> None:
    described = set(re.findall(r"`(?:--scenario |run --scenario )?([a-z-]+)(?: [^`]*)?`", TEXT))

    assert {"steady"} == SCENARIOS.keys() - described
    named = {line[line.index("--scenario") + 1] for line in command_lines() if "--scenario" in line}
    assert named <= SCENARIOS.keys()


def test_each_dashboard_has_the_name_that_the_page_gives_it() -> None:
    named = set(re.findall(r"dashboard \*([a-z ]+)\*", TEXT))

    assert len(named) > 3
    assert named <= {board.title for board in make_boards(Config())}
