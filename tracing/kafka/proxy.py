"""A wrapper that stands in for a client: code can use it as it uses the client.

The methods of the clients are in `producer_methods` and `consumer_methods`.
"""

from __future__ import annotations

from contextlib import suppress
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

from tracing.core.log import warn_once

if TYPE_CHECKING:
    from collections.abc import Iterator


class ClientProxy:
    """Behaves like the wrapped object, except for the methods of its own class.

    - `isinstance`, `functools.singledispatch` and field validation see the wrapped object's class,
      as they do with wrapt's proxies; `type()` sees the wrapper's.
    - Attributes that the wrapper does not have are read from the wrapped object. Attributes are set
      there too, replaced methods included: the wrapper calls the replacement, and so does the
      wrapped object itself.
    - It equals the wrapped object and has its hash, so both find the same entry of a dictionary.

    A subclass sets all its own attributes in the constructor and calls `_complete` at its end.

    Task safety: that of the wrapped object.
    """

    _held: ClassVar[str]
    """Name of the attribute that holds the wrapped object."""
    _added: ClassVar[frozenset[str]]
    """Public names of the wrapper that the wrapped object's class does not have."""

    def _complete(self) -> None:
        """End the construction: further new attributes are set on the wrapped object."""
        inner = self._inside()
        hidden = self._added & _names_of(type(inner))
        if hidden:
            warn_once(
                f"{type(inner).__name__} has public names that {type(self).__name__} adds to a "
                f"client: {', '.join(sorted(hidden))}. On the wrapper they are "
                f"{type(self).__name__}'s; use `.wrapped` for the class's own"
            )
        self.__dict__["_completed"] = True

    def _inside(self) -> Any:
        return getattr(self, self._held)

    def _reached(self) -> Any:
        """Return the receiver of the application's calls: the wrapped object or its substitute."""
        return self._inside()

    def __getattr__(self, name: str) -> Any:
        if name == self._held:  # before the constructor ran, as when unpickling
            raise AttributeError(name)
        return getattr(self._inside(), name)

    # With these, a type checker would allow any assignment; it knows the class by inheritance.
    if not TYPE_CHECKING:

        @property
        def __class__(self) -> type:
            inner = self.__dict__.get(self._held)
            return type(self) if inner is None else inner.__class__

        def __setattr__(self, name: str, value: object) -> None:
            if self._keeps(name):
                object.__setattr__(self, name, value)
                return
            if getattr(value, "__self__", None) is self and value.__name__ == name:
                # Undoing a monkeypatch puts the wrapper's own method back.
                with suppress(AttributeError):
                    delattr(self._inside(), name)
            else:
                setattr(self._inside(), name, value)
            self._replaced(name)

        def __delattr__(self, name: str) -> None:
            if self._keeps(name):
                object.__delattr__(self, name)
                return
            delattr(self._inside(), name)
            self._replaced(name)

    def _replaced(self, name: str) -> None:
        """React to a replaced attribute of the wrapped object."""

    def _keeps(self, name: str) -> bool:
        """Whether an attribute is the wrapper's own."""
        own = self.__dict__
        if "_completed" not in own:
            return True
        for kind in type(self).__mro__:
            if name in vars(kind):
                method = isinstance(vars(kind)[name], FunctionType) and name not in self._added
                return not (method and hasattr(self._inside(), name))
        return name in own

    def __dir__(self) -> Iterator[str]:
        inner = self.__dict__.get(self._held)
        yield from sorted({*object.__dir__(self), *dir(type(self)), *dir(inner)})

    def __eq__(self, other: object) -> bool:
        inner = self._inside()
        wrapped = other._inside() if isinstance(other, ClientProxy) else other
        return wrapped is inner or bool(wrapped == inner)

    def __hash__(self) -> int:
        return hash(self._inside())

    def __copy__(self) -> Self:
        copied = object.__new__(type(self))
        for name, value in self.__dict__.items():
            own_method = isinstance(value, MethodType) and value.__self__ is self
            copied.__dict__[name] = MethodType(value.__func__, copied) if own_method else value
        return copied

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(
            f"cannot pickle or deep-copy a {type(self).__name__}: a client belongs to its process "
            "and its event loop; make a new one where you need it"
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.__dict__.get(self._held)!r}>"

    def __str__(self) -> str:
        inner = self.__dict__.get(self._held)
        # Use the client's own `__str__`; the default one would hide the wrapper.
        return str(inner) if "__str__" in _names_of(type(inner)) else repr(self)


def _names_of(kind: type) -> set[str]:
    return {name for base in kind.__mro__ if base is not object for name in vars(base)}
