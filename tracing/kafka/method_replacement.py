"""A replaced method of a class that tolerates other libraries' replacements of the same method."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_OURS: Final = "__pipeline_tracing_replacement__"


class Replacement:
    """One method of a class, replaced by a function until it is removed.

    The function is a plain one and no proxy, so that a library that removes its own proxy leaves it
    alone. Libraries that undo without looking, such as ddtrace, set the method to whatever the
    topmost function wraps: that is a second function that does the same. If another library has
    replaced the method again before the removal, the function stays beneath it and passes calls
    on: see `active`.

    Args:
        owner: The class.
        name: The method.
        make: Makes the new function from `original`.

    Attributes:
        original: The replaced function.
        active: Whether the function does more than call the original.
    """

    def __init__(
        self, owner: type[Any], name: str, make: Callable[[Replacement], Callable[..., Any]]
    ) -> None:
        self._owner = owner
        self._name = name
        self.active = True
        self._inherited = name not in vars(owner)
        current = inspect.getattr_static(owner, name)
        # A replacement of this library that was removed beneath another one, which is gone by now.
        while (stale := self._of(current)) is not None and not stale.active:
            current = stale.original
        self.original: Any = current
        self._functions = top, beneath = make(self), make(self)
        for function in self._functions:
            function.__dict__[_OURS] = self
        top.__dict__["__wrapped__"] = beneath
        setattr(owner, name, top)

    def bound(self, instance: object) -> Callable[..., Any]:
        """Return the replaced function, as a method of an instance."""
        bind = getattr(self.original, "__get__", None)
        if bind is None:
            return self.original  # type: ignore[no-any-return]  # callable, or it was no method
        return bind(instance, type(instance))  # type: ignore[no-any-return]  # as above

    def remove(self) -> None:
        """Restore the original, or pass calls on to it from now on."""
        self.active = False
        if not self.made(vars(self._owner).get(self._name)):
            return
        if self._inherited:
            delattr(self._owner, self._name)
        else:
            setattr(self._owner, self._name, self.original)

    def made(self, function: object) -> bool:
        """Return whether a function belongs to this replacement."""
        return any(function is each for each in self._functions)

    @staticmethod
    def _of(function: object) -> Replacement | None:
        # By `vars`: a proxy of another library shows the attributes of the function inside it, and
        # `functools.wraps` copies them.
        owner = vars(function).get(_OURS) if inspect.isfunction(function) else None
        return owner if isinstance(owner, Replacement) and owner.made(function) else None
