"""The user's editor on a private file, which is removed whatever happens."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEFAULT: Final = "vi"
_NAME: Final = "value"
_MODE: Final = 0o600
# Not all systems have both.
_ENDING: Final = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)


@contextmanager
def private_file(content: bytes, suffix: str) -> Iterator[Path]:
    """Yield a file that only its owner may read, in a folder of its own.

    Editors write backups beside the file, so the folder is private as well. It is removed at the
    end of the block, also if SIGTERM or SIGHUP ends it, which then raises `KeyboardInterrupt`.

    Raises:
        OSError: The file cannot be written.
    """
    with ExitStack() as stack:
        stack.enter_context(_handling(_ENDING, _stop))
        folder = stack.enter_context(TemporaryDirectory(prefix="dead-letter-"))
        file = Path(folder, f"{_NAME}{suffix}")
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
        with os.fdopen(descriptor, "wb") as target:
            target.write(content)
        yield file


def edit_file(file: Path) -> bytes:
    """Open a file in the user's editor, and return its content when the editor has ended.

    The editor is `$VISUAL`, or `$EDITOR`, which may have arguments, or vi.

    Raises:
        click.ClickException: The editor cannot be started, or fails, or leaves no file.
    """
    command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or _DEFAULT
    try:
        parts = shlex.split(command)
        # Ctrl-C in the editor is meant for the editor.
        with _handling((signal.SIGINT,), _ignore):
            code = subprocess.call([*parts, str(file)])  # noqa: S603 - the user's own command
    except (OSError, ValueError) as error:
        raise click.ClickException(
            f"nothing was sent: the editor {command!r} cannot be started ({error}); set EDITOR"
        ) from None
    if code:
        raise click.ClickException(f"nothing was sent: the editor {command!r} ended with {code}")
    try:
        return file.read_bytes()
    except OSError as error:
        raise click.ClickException(f"nothing was sent: the editor left no file ({error})") from None


@contextmanager
def _handling(numbers: tuple[signal.Signals, ...], handler: Any) -> Iterator[None]:
    """Handle signals in a block; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def _ignore(*_: object) -> None:
    # Not SIG_IGN, which the editor would inherit.
    pass


def _stop(*_: object) -> None:
    raise KeyboardInterrupt
