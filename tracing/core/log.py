"""The library's own log lines: logging never raises, and text from outside is escaped."""

from __future__ import annotations

import logging
import os
import sysconfig
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tracing.core.text import MAX_PRINTABLE, printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_MAX_FRAMES: Final = 8
# The standard library, installed packages, and this one, which may be a checkout.
_LIBRARIES: Final = (
    *{sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")},
    str(Path(__file__).parents[1]) + os.sep,
    "<frozen ",
)


class EventLog(logging.LoggerAdapter[logging.Logger]):
    """Logs with a logger of the standard library; a handler or filter that raises is ignored.

    Arguments and `extra` fields that are text are escaped and cut, because names, ids and errors
    come from outside. It can be used from any thread.

    Args:
        name: The logger's name.
    """

    def __init__(self, name: str) -> None:
        super().__init__(logging.getLogger(name), None)

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log a line, as `logging.Logger.log`. Never raises."""
        try:
            if not self.isEnabledFor(level):
                return
            harmless = tuple(_harmless(argument) for argument in args)
            # The line belongs to the caller of this method.
            kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
            fields: Mapping[str, object] = kwargs.pop("extra", None) or {}
            extra = {name: _harmless(value) for name, value in fields.items()}
            try:
                self.logger.log(level, msg, *harmless, extra=extra, **kwargs)
            except KeyError:
                # The application's record factory has a field of the same name; its own stays.
                taken = vars(logging.makeLogRecord({}))
                free = {name: value for name, value in extra.items() if name not in taken}
                if len(free) < len(extra):
                    self.logger.log(level, msg, *harmless, extra=free, **kwargs)
        except Exception:  # noqa: S110 - what cannot be logged cannot be logged either
            pass


def origin_of(error: BaseException) -> str:
    """Return where an error was raised, as `file.py:12 in function`; empty where unknown.

    An error of a library comes from the last call in the application's own code, if there is one.
    """
    place = own = None
    step = error.__traceback__
    while step is not None:
        place = step
        if not step.tb_frame.f_code.co_filename.startswith(_LIBRARIES):
            own = step
        step = step.tb_next
    step = own or place
    return "" if step is None else _shown(step)


def described(error: BaseException) -> str:
    """Describe an error by its type and the last calls that led to it.

    Its message and the error that it replaced are left out: both may be private.
    """
    return " < ".join([type(error).__name__, *reversed(_frames(error))])


def _frames(error: BaseException) -> list[str]:
    # Not by `traceback`, which reads the source files.
    last: deque[TracebackType] = deque(maxlen=_MAX_FRAMES)
    step = error.__traceback__
    while step is not None:
        last.append(step)
        step = step.tb_next
    return [_shown(each) for each in last]


def _shown(step: TracebackType) -> str:
    code = step.tb_frame.f_code
    return f"{code.co_filename.rpartition('/')[2]}:{step.tb_lineno} in {code.co_name}"


def _harmless(value: object) -> object:
    if value is None or isinstance(value, int | float):
        return value
    return printable(value if isinstance(value, str) else str(value), MAX_PRINTABLE)


_logger = EventLog("tracing")
_warned: set[str] = set()
_warned_lock = threading.Lock()


def _free_lock() -> None:
    global _warned_lock  # noqa: PLW0603 - a thread that the child lacks may have held it
    _warned_lock = threading.Lock()


os.register_at_fork(after_in_child=_free_lock)


def warn_once(message: str, *, error: BaseException | None = None) -> None:
    """Log a warning once per process and text. Never raises.

    Of an error, its type and where it comes from are logged, not its message: that may be private.
    """
    with _warned_lock:
        if message in _warned:
            return
        _warned.add(message)
    _logger.warning(message if error is None else f"{message} ({described(error)})", stacklevel=2)
