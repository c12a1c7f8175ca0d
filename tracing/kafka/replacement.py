"""One method of a class, replaced in such a way that whoever else replaces it does no harm."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_OURS: Final = "__pipeline_tracing_replacement__"


class Replacement:
    """One method of a class, replaced by a function until it is removed.

    The function is a plain one, no proxy: what undoes another library's proxy does not take it
    for its own. Libraries that undo without looking, as ddtrace does, set the method to what the
    one on top wraps; so it wraps a second function that does the same. Where another library has
    replaced the method again by the time it is removed, it stays beneath that one, and has to pass
    calls on: see `active`.

    Args:
        owner: The class.
        name: The method.
        make: Makes the new function, of `original`.

    Attributes:
        original: What was replaced.
        active: Whether the function is to do anything but to call the original.
    """

    def __init__(
        self, owner: type[Any], name: str, make: Callable[[Replacement], Callable[..., Any]]
    ) -> None:
        self._owner = owner
        self._name = name
        self.active = True
        self._inherited = name not in vars(owner)
        current = inspect.getattr_static(owner, name)
        # One of ours that was removed while another library's lay on top, which is gone by now.
        while (stale := self._of(current)) is not None and not stale.active:
            current = stale.original
        self.original: Any = current
        self._functions = top, beneath = make(self), make(self)
        for function in self._functions:
            function.__dict__[_OURS] = self
        top.__dict__["__wrapped__"] = beneath
        setattr(owner, name, top)

    def bound(self, instance: object) -> Callable[..., Any]:
        """The function that was replaced, as the method of an instance."""
        bind = getattr(self.original, "__get__", None)
        if bind is None:
            return self.original  # type: ignore[no-any-return]  # callable, or it was no method
        return bind(instance, type(instance))  # type: ignore[no-any-return]  # as above

    def remove(self) -> None:
        """Put the original back, or pass calls on to it from now on."""
        self.active = False
        if not self.made(vars(self._owner).get(self._name)):
            return
        if self._inherited:
            delattr(self._owner, self._name)
        else:
            setattr(self._owner, self._name, self.original)

    def made(self, function: object) -> bool:
        """Whether a function is this replacement's."""
        return any(function is each for each in self._functions)

    @staticmethod
    def _of(function: object) -> Replacement | None:
        # By `vars`: a proxy of another library shows the attributes of what is inside, and what
        # `functools.wraps` made has copies of them.
        found = vars(function).get(_OURS) if inspect.isfunction(function) else None
        return found if isinstance(found, Replacement) and found.made(function) else None
