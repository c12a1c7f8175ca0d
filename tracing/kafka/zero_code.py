"""aiokafka's clients traced without being wrapped: their methods are replaced in the classes.

A replacement calls the function that it replaced, never the client's method: that may be a
subclass's that called it, or another library's that lies on top of it.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from tracing import coexistence
from tracing.consumer import TracedConsumer
from tracing.diagnostics import warn_once
from tracing.iteration import TracedRecords, received
from tracing.kafka.replacement import Replacement
from tracing.producer import TracedProducer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tracing.telemetry import Telemetry

_STATE: Final = "_pipeline_tracing"
_Traced = TypeVar("_Traced")


class ZeroCode:
    """Replaces what aiokafka's clients send and receive by, until it is removed.

    Clients that exist already are traced as well, and go on untraced when it is removed.

    Args:
        telemetry: What the service's clients share.
        at_construction: Called whenever a client is made.
    """

    def __init__(self, telemetry: Telemetry, at_construction: Callable[[], None]) -> None:
        self._at_construction = at_construction
        self._producers = Replaced(TracedProducer, telemetry)
        self._consumers = Replaced(TracedConsumer, telemetry)
        self._constructors: list[Replacement] = []

    def install(self, producer: type[Any], consumer: type[Any]) -> None:
        """Replace the methods of aiokafka's two classes."""
        for client in (producer, consumer):
            self._constructors.append(Replacement(client, "__init__", self._constructor))
        for name in ("send", "send_batch"):
            self._producers.replace(producer, name, _asynchronous)
        self._producers.replace(producer, "create_batch", _synchronous)
        for name in ("getmany", "commit", "stop"):
            self._consumers.replace(consumer, name, _asynchronous)
        self._consumers.replace(consumer, "getone", _getone)
        self._consumers.replace(consumer, "__aiter__", _iterated)
        coexistence.zero_code(active=True)

    def remove(self) -> None:
        """Put the methods back."""
        for replacement in self._constructors:
            replacement.remove()
        self._producers.remove()
        self._consumers.remove()
        coexistence.zero_code(active=False)

    def _constructor(self, replacement: Replacement) -> Callable[..., None]:
        at_construction = self._at_construction

        @functools.wraps(replacement.original)
        def construct(client: Any, /, *args: Any, **kwargs: Any) -> None:
            if replacement.active:
                at_construction()
            replacement.bound(client)(*args, **kwargs)

        return construct


class Replaced(Generic[_Traced]):
    """The methods of one class that are replaced, and the wrappers of its instances.

    Args:
        wrapper: What does the tracing.
        telemetry: What the service's clients share.
    """

    def __init__(self, wrapper: Callable[[Any, Telemetry], _Traced], telemetry: Telemetry) -> None:
        self.wrapper = wrapper
        self._telemetry = telemetry
        self._methods: dict[str, Replacement] = {}

    def replace(
        self,
        owner: type[Any],
        name: str,
        make: Callable[[Replaced[_Traced], str, Replacement], Callable[..., Any]],
    ) -> None:
        """Replace a method of a class by what `make` makes of it."""
        self._methods[name] = Replacement(owner, name, functools.partial(make, self, name))

    def remove(self) -> None:
        """Put the methods back."""
        for replacement in self._methods.values():
            replacement.remove()

    def traced(self, client: Any, replacement: Replacement) -> _Traced | None:
        """The wrapper of a client; `None` where the call is not to be traced."""
        if not replacement.active or coexistence.traced_call(client) is not None:
            return None
        owner, traced = client.__dict__.get(_STATE, (None, None))
        if owner is not self:
            traced = self._wrapped(client)
            # On the client itself, so that it goes when the client goes.
            client.__dict__[_STATE] = (self, traced)
        return traced  # type: ignore[no-any-return]  # it is what was put there

    def _wrapped(self, client: object) -> _Traced | None:
        beneath: Any = _BeneathReplacements(client, self._methods)
        try:
            return self.wrapper(beneath, self._telemetry)
        except Exception as fault:
            warn_once("a client cannot be instrumented and works untraced", error=fault)
            return None


class _BeneathReplacements:
    """A client as it is without the replacements: what the wrapper of a replaced client wraps."""

    def __init__(self, client: object, replaced: Mapping[str, Replacement]) -> None:
        self._replaced_client = client
        for name, replacement in replaced.items():
            self.__dict__[name] = replacement.bound(client)

    def __getattr__(self, name: str) -> Any:
        if name == "_replaced_client":  # before the constructor ran, as when unpickling
            raise AttributeError(name)
        return getattr(self._replaced_client, name)


class _Parameters:
    """The parameters that a wrapper knows; a later aiokafka, or another library, may have more."""

    def __init__(self, method: Callable[..., Any]) -> None:
        _, *parameters = inspect.signature(method).parameters.values()
        kinds = [parameter.kind for parameter in parameters]
        self._most = sum(kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for kind in kinds)
        self._any = inspect.Parameter.VAR_POSITIONAL in kinds
        self._names = {parameter.name for parameter in parameters}

    def fit(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        return (self._any or len(args) <= self._most) and kwargs.keys() <= self._names


def _asynchronous(
    replaced: Replaced[_Traced], name: str, replacement: Replacement
) -> Callable[..., Any]:
    parameters = _Parameters(getattr(replaced.wrapper, name))

    @functools.wraps(replacement.original)
    async def replacing(client: Any, /, *args: Any, **kwargs: Any) -> Any:
        traced = replaced.traced(client, replacement)
        if traced is None or not parameters.fit(args, kwargs):
            return await replacement.bound(client)(*args, **kwargs)
        return await getattr(traced, name)(*args, **kwargs)

    return replacing


def _synchronous(
    replaced: Replaced[_Traced], name: str, replacement: Replacement
) -> Callable[..., Any]:
    parameters = _Parameters(getattr(replaced.wrapper, name))

    @functools.wraps(replacement.original)
    def replacing(client: Any, /, *args: Any, **kwargs: Any) -> Any:
        traced = replaced.traced(client, replacement)
        if traced is None or not parameters.fit(args, kwargs):
            return replacement.bound(client)(*args, **kwargs)
        return getattr(traced, name)(*args, **kwargs)

    return replacing


def _getone(
    replaced: Replaced[TracedConsumer], _name: str, replacement: Replacement
) -> Callable[..., Any]:
    @functools.wraps(replacement.original)
    async def getone(client: Any, /, *args: Any, **kwargs: Any) -> Any:
        traced = replaced.traced(client, replacement)
        if traced is None or kwargs:
            record = await replacement.bound(client)(*args, **kwargs)
            received(client, record)
            return record
        return await traced.getone(*args)

    return getone


def _iterated(
    replaced: Replaced[TracedConsumer], _name: str, replacement: Replacement
) -> Callable[..., Any]:
    @functools.wraps(replacement.original)
    def iterate(client: Any, /) -> Any:
        traced = replaced.traced(client, replacement)
        iterator = replacement.bound(client)()
        return iterator if traced is None else Records(traced, iterator, client, replacement)

    return iterate


class Records(TracedRecords):
    """One `async for` over a consumer that is not wrapped; untraced once the method is put back."""

    def __init__(
        self, consumer: TracedConsumer, iterator: Any, client: object, replacement: Replacement
    ) -> None:
        consumer.finish_unfinished()
        super().__init__(consumer, iterator, client)
        self._replacement = replacement

    async def __anext__(self) -> Any:
        if self._replacement.active:
            return await super().__anext__()
        self.finish()
        return await self._iterator.__anext__()
