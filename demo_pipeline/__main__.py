"""`python -m demo_pipeline`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_STOPPED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: The arguments; by default those of the command line.

    Returns:
        0 on success, 1 on failure, 2 on wrong usage, 130 when stopped by Ctrl-C or SIGTERM.
    """
    try:
        # Importing everything takes a second or more, and Ctrl-C may come in that second.
        from demo_pipeline.app.cli import run_command_line  # noqa: PLC0415 - inside the try

        return run_command_line(arguments)
    except KeyboardInterrupt:
        sys.stderr.write("demo_pipeline: stopped\n")
        return _STOPPED


if __name__ == "__main__":
    sys.exit(main())
