"""Run a command line: errors and exit codes are the same for every program of this project.

It needs only the standard library, so that it can explain which package is missing.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Final

from tracing.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import click

DONE: Final = 0
FAILED: Final = 1
WRONG_USAGE: Final = 2
STOPPED: Final = 130

_OWN: Final = frozenset({"tracing", "dashboards", "demo_pipeline"})


@dataclass(frozen=True, slots=True)
class Program:
    """A command line.

    Attributes:
        package: The package that `python -m` runs; error lines begin with it.
        commands: Its commands, as `module:group`.
        needs: The distribution that installs what the commands need, with its extras.
        checkout: What installs the same from a checkout, as arguments of pip.
        script: The console script that runs the same commands; empty without one.
    """

    package: str
    commands: str
    needs: str
    checkout: str
    script: str = ""

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Run a command.

        An error is one line on standard error, after the name of the program.

        Args:
            arguments: By default those of the process.

        Returns:
            The exit code: 0 for success, 1 for a failure, 2 for wrong usage, 130 for Ctrl-C.
        """
        if isinstance(sys.stdout, TextIOWrapper):
            # What a terminal cannot show is escaped, as standard error does.
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            return self._run(arguments)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if not missing or missing in _OWN:
                raise
            return self._end(
                f"{missing} is not installed: pip install {quote(self.needs)}, or from a checkout: "
                f"pip install {self.checkout}",
                FAILED,
            )
        except KeyboardInterrupt:
            return self._end("stopped", STOPPED)

    def _run(self, arguments: Sequence[str] | None) -> int:
        import click  # may be missing

        module, _, group = self.commands.partition(":")
        commands: click.Group = getattr(import_module(module), group)
        try:
            code = commands.main(arguments, prog_name=self._called(), standalone_mode=False)
        except click.exceptions.NoArgsIsHelpError as help_wanted:
            click.echo(help_wanted.format_message(), err=True)
            return WRONG_USAGE
        except click.UsageError as error:
            # click lists choices in lines of their own, and parsers show where they stopped.
            return self._end(" ".join(error.format_message().split()), error.exit_code)
        except click.ClickException as error:
            return self._end(error.format_message(), error.exit_code)
        except click.Abort:
            return self._end("stopped", STOPPED)
        return code if isinstance(code, int) else DONE

    def _called(self) -> str:
        """Return what the user typed; completion by a shell depends on it."""
        called = Path(sys.argv[0]).name.removesuffix(".exe")
        return called if called == self.script else f"python -m {quote(self.package)}"

    def _end(self, message: str, code: int) -> int:
        # Messages may repeat what a broker or an event said.
        lines = "\n".join(map(printable, message.splitlines()))
        sys.stderr.write(f"{self.package}: {lines}\n")
        return code
