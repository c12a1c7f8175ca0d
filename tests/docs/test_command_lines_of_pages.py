"""The commands of the library and of the dashboards that pages name are those that exist."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from dashboards.cli.main import cli as dashboards
from tests.docs.pages import PAGES
from tracing.cli.groups import LazyCommand
from tracing.cli.main import cli as tracing

PROGRAMS = {
    "python -m tracing": tracing,
    "pipeline-tracing": tracing,
    "python -m dashboards": dashboards,
}
# As a line of a block or of a container's arguments, or within a sentence.
NAMED = re.compile(rf"(?:^|`)(?:\S*/bin/)?({'|'.join(PROGRAMS)}) ([a-z][^`\n]*)", re.MULTILINE)


def command_lines() -> list[tuple[str, str, list[str]]]:
    """Return the page, the program and the arguments of each command."""
    lines = []
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        for program, rest in NAMED.findall(text):
            # A comment, or what the shell does with the output.
            command = re.split(r"\s+(?:#|\||>|&)", rest)[0]
            lines.append((page.stem, program, shlex.split(command)))
    return lines


def mistake(program: str, arguments: list[str]) -> str:
    """Return what is wrong with a command; empty for nothing."""
    command: click.Command = PROGRAMS[program]
    while isinstance(command, click.Group) and arguments:
        name, *arguments = arguments
        if name not in command.commands:
            return f"there is no command {name}"
        command = command.commands[name]
        if isinstance(command, LazyCommand):
            command = command.load()
    try:
        command.make_parser(click.Context(command)).parse_args(list(arguments))
    except click.UsageError as error:
        return error.format_message()
    return ""


def test_each_command_line_of_a_page_can_be_typed() -> None:
    lines = command_lines()

    assert len(lines) > 30
    assert [] == [(page, why) for page, program, line in lines if (why := mistake(program, line))]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("dlq lst", "there is no command lst"),
        ("lag --fail-if-above 3s", "No such option '--fail-if-above'."),
        ("dlq list --since", "Option '--since' requires an argument."),
    ],
)
def test_a_mistake_would_be_seen(line: str, why: str) -> None:
    assert mistake("python -m tracing", line.split()).startswith(why)
