"""`python -m demo_pipeline`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from tracing.cli.program import Program

if TYPE_CHECKING:
    from collections.abc import Sequence

_PROGRAM: Final = Program(
    "demo_pipeline",
    "demo_pipeline.app.cli:cli",
    "pipeline-tracing-demo",
    "PATH/TO/CHECKOUT PATH/TO/CHECKOUT/demo_pipeline",
    script="pipeline-demo",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: By default those of the process.

    Returns:
        The exit code: 0 for success, 1 for a failure, 2 for wrong usage, 130 when stopped by Ctrl-C
        or SIGTERM.
    """
    return _PROGRAM.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
