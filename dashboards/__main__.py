"""`python -m dashboards`: the command line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from tracing.cli.program import Program

if TYPE_CHECKING:
    from collections.abc import Sequence

_PROGRAM: Final = Program(
    "dashboards",
    "dashboards.cli.main:cli",
    "pipeline-tracing-dashboards",
    "PATH/TO/CHECKOUT PATH/TO/CHECKOUT/dashboards",
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
