"""The command `dlq serve` in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def serving(servers: str, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command; yield its process and the address that it prints."""
    command = [
        sys.executable, "-m", "tracing", "dlq", "serve", "--bootstrap-servers", servers,
        "--port", "0", *options,
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            (address,) = re.findall(r"http://[\w.-]+:\d+/\S+", process.stderr.readline())
            yield process, address
        finally:
            if process.poll() is None:
                process.terminate()
