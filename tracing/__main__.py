"""The command line `python -m tracing`: dead letters, lag and the list of metrics."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from tracing.cli.program import Program

if TYPE_CHECKING:
    from collections.abc import Sequence

_PROGRAM: Final = Program(
    "tracing",
    "tracing.cli.main:cli",
    "pipeline-tracing[cli]",
    "'PATH/TO/CHECKOUT[cli]'",
    script="pipeline-tracing",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: By default those of the process.

    Returns:
        The exit code: 0 for success, 1 for a failure, 2 for wrong usage, 130 for Ctrl-C.
    """
    return _PROGRAM.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
