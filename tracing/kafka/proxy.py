"""A wrapper that stands in for a client: code can use it as it uses the client.

The methods of the client are beside this, in `producer_methods` and `consumer_methods`.
"""

from __future__ import annotations

from contextlib import suppress
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

from tracing.core.log import warn_once

if TYPE_CHECKING:
    from collections.abc import Iterator


class ClientProxy:
    """Behaves as the object that it wraps, in all that is not a method of its class.

    - `isinstance`, `functools.singledispatch` and field validation see the wrapped object's class,
      as they do with wrapt's proxies; `type()` sees the wrapper's.
    - Attributes that the wrapper does not have are read from the wrapped object, and attributes are
      set there, a replaced method as well: what the wrapped object does by itself has to meet the
      replacement too, and the wrapper calls it.
    - It equals the wrapped object and has its hash, so both find the same entry of a dictionary.

    A subclass sets its own attributes in the constructor and calls `_complete` at its end. Names
    that it assigns later have to be there by then.

    Task safety: as that of the wrapped object.
    """

    _held: ClassVar[str]
    """Name of the attribute that holds the wrapped object."""
    _added: ClassVar[frozenset[str]]
    """Public names that the wrapper has and the class of what it wraps has not."""

    def _complete(self) -> None:
        """End the construction: from here on, new attributes are the wrapped object's."""
        inner = self._inside()
        hidden = self._added & _names_of(type(inner))
        if hidden:
            warn_once(
                f"{type(inner).__name__} has public names that {type(self).__name__} adds to a "
                f"client: {', '.join(sorted(hidden))}. On the wrapped client they mean "
                f"{type(self).__name__}'s; the class's own are reached by `.wrapped`"
            )
        self.__dict__["_completed"] = True

    def _inside(self) -> Any:
        return getattr(self, self._held)

    def _reached(self) -> Any:
        """Return what the application's calls reach: the wrapped object, or what stands in."""
        return self._inside()

    def __getattr__(self, name: str) -> Any:
        if name == self._held:  # before the constructor ran, as when unpickling
            raise AttributeError(name)
        return getattr(self._inside(), name)

    # A type checker would take any assignment for allowed, and knows the class by inheritance.
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
                # The wrapper's own method is put back, as monkeypatching does when it is undone.
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
        """Hear that an attribute of the wrapped object is another one from now on."""

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
            "and its event loop; make one where it is needed"
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.__dict__.get(self._held)!r}>"

    def __str__(self) -> str:
        inner = self.__dict__.get(self._held)
        # A text of the client's own is for users; the general one would hide the wrapper.
        return str(inner) if "__str__" in _names_of(type(inner)) else repr(self)


def _names_of(kind: type) -> set[str]:
    return {name for base in kind.__mro__ if base is not object for name in vars(base)}
