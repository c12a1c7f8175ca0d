"""What a forked child has to do before it goes on: its locks may be held by threads it lacks."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def in_forked_child(act: Callable[[], None]) -> None:
    """Call a bound method in every child that is forked from now on, while its object lives."""
    weak = weakref.WeakMethod(act)

    def after_in_child() -> None:
        if (method := weak()) is not None:
            method()

    os.register_at_fork(after_in_child=after_in_child)
