"""Stand-ins for deserializers and serializers: they do the same, and report it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracing.core.callables import name_of
from tracing.core.log import warn_once

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tracing.schemas.reading import Reading


class StandIn:
    """Stands in for a function or a callable object, whose attributes are its own.

    Args:
        function: The function.
        key: Whether it is for keys, where no `SerializationContext` says so.

    Raises:
        TypeError: It cannot be called.
    """

    def __init__(self, function: Callable[..., Any], *, key: bool) -> None:
        if not callable(function):
            raise TypeError(f"a (de)serializer must be callable, not {type(function).__name__}")
        self._function = function
        self._key = key

    def __getattr__(self, name: str) -> Any:
        # Clients look for more than a call: `close`, `set_cluster_id_resolver`.
        return getattr(self._function, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {name_of(self._function)}>"


class Deserializer(StandIn):
    """Stands in for a deserializer, sync or async.

    Args:
        function: The deserializer.
        begin: Makes the block for one call, of its data, its `SerializationContext`, if it has
            one, and whether it is for keys.
        key: As for `StandIn`.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        begin: Callable[[object, object, bool], Reading],
        *,
        key: bool,
    ) -> None:
        super().__init__(function, key=key)
        self._begin = begin

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Decode as the deserializer does.

        Raises:
            UndecodableRecord: The bytes cannot be decoded.
            Exception: Any other error of the deserializer.
        """
        data = args[0] if args else next(iter(kwargs.values()), None)
        reading = self._begin(data, _context(args, kwargs), self._key)
        try:
            answer = self._function(*args, **kwargs)
        except Exception as error:
            instead = reading.failed(error)
            if instead is None:
                raise
            raise instead from error
        if hasattr(type(answer), "__await__"):
            return _decoded(answer, reading)
        reading.succeeded()
        return answer


class Serializer(StandIn):
    """Stands in for a serializer, sync or async.

    Args:
        function: The serializer.
        written: Receives what it returned, its `SerializationContext`, if it has one, and whether
            it is for keys. Never raises.
        key: As for `StandIn`.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        written: Callable[[object, object, bool], None],
        *,
        key: bool,
    ) -> None:
        super().__init__(function, key=key)
        self._written = written

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Encode as the serializer does; what it raises passes through."""
        answer = self._function(*args, **kwargs)
        if hasattr(type(answer), "__await__"):
            return self._encoded(answer, args, kwargs)
        self._report(answer, args, kwargs)
        return answer

    async def _encoded(
        self, answer: Awaitable[Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        encoded = await answer
        self._report(encoded, args, kwargs)
        return encoded

    def _report(self, answer: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._written(answer, _context(args, kwargs), self._key)


def not_twice(function: Any) -> bool:
    """Return whether a function is a stand-in already; log that it need not be given again."""
    if not isinstance(function, StandIn):
        return False
    warn_once("a (de)serializer was given to Schemas twice; the first stand-in is used")
    return True


async def _decoded(answer: Awaitable[Any], reading: Reading) -> Any:
    with reading:
        return await answer


def _context(args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
    """Return the `SerializationContext` of a call, or what stands in its place."""
    if len(args) > 1:
        return args[1]
    return kwargs.get("ctx") if kwargs else None
