"""The replaced methods of an aiokafka class, and the wrappers that trace them."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from tracing.core.log import warn_once
from tracing.kafka import coexistence
from tracing.kafka.method_replacement import Replacement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tracing.kafka.coexistence import OfficialInstrumentation
    from tracing.telemetry import Telemetry

_STATE: Final = "_pipeline_tracing"
_NONE: Final = (None, None, None)
_Traced = TypeVar("_Traced")


class TracedMethods(Generic[_Traced]):
    """The replaced methods of one class, and the wrappers of its instances.

    Args:
        wrapper: Makes the wrapper that traces a client.
        telemetry: The service's telemetry.
        at_first_use: Called when a client first calls one of the methods.
        official: The official instrumentation, which may become active at any time.
    """

    def __init__(
        self,
        wrapper: Callable[[Any, Telemetry], _Traced],
        telemetry: Telemetry,
        at_first_use: Callable[[], None] | None,
        official: OfficialInstrumentation,
    ) -> None:
        self.wrapper = wrapper
        self._at_first_use = at_first_use
        self._official = official
        self._telemetry = telemetry
        self._methods: dict[str, Replacement] = {}

    def replace(
        self,
        owner: type[Any],
        name: str,
        make: Callable[[TracedMethods[_Traced], str, Replacement], Callable[..., Any]],
    ) -> None:
        """Replace a method of a class by the result of `make`."""
        self._methods[name] = Replacement(owner, name, functools.partial(make, self, name))

    def replacements(self) -> Iterable[Replacement]:
        """Return all replacements."""
        return self._methods.values()

    def traced(self, client: Any, replacement: Replacement) -> _Traced | None:
        """Return the wrapper of a client; `None` where the call must not be traced."""
        if not replacement.active or coexistence.traced_call(client) is not None:
            return None
        self._official.switch_off()
        owner, of, traced = client.__dict__.get(_STATE, _NONE)
        # A copy of a client has the original's attributes.
        if owner is not self or of is not client:
            traced = self._wrapped(client)
            # On the client itself, so that both are freed together.
            client.__dict__[_STATE] = (self, client, traced)
        return traced  # type: ignore[no-any-return]  # set above

    def _wrapped(self, client: object) -> _Traced | None:
        beneath: Any = _BeneathReplacements(client, self._methods)
        try:
            if self._at_first_use is not None:
                self._at_first_use()
            return self.wrapper(beneath, self._telemetry)
        except Exception as fault:
            warn_once("a client cannot be instrumented and works untraced", error=fault)
            return None


class _BeneathReplacements:
    """A client without the replacements; the wrapper of a client with replaced methods wraps it."""

    def __init__(self, client: object, replaced: Mapping[str, Replacement]) -> None:
        self._replaced_client = client
        for name, replacement in replaced.items():
            self.__dict__[name] = replacement.bound(client)

    def __getattr__(self, name: str) -> Any:
        if name == "_replaced_client":  # before the constructor ran, as when unpickling
            raise AttributeError(name)
        return getattr(self._replaced_client, name)


class Parameters:
    """The parameters of a wrapper's method; a later aiokafka, or another library, may have more."""

    def __init__(self, method: Callable[..., Any]) -> None:
        _, *parameters = inspect.signature(method).parameters.values()
        kinds = [parameter.kind for parameter in parameters]
        self._most = sum(kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for kind in kinds)
        self._any = inspect.Parameter.VAR_POSITIONAL in kinds
        self._names = {parameter.name for parameter in parameters}

    def fit(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Return whether the wrapper accepts all arguments of a call."""
        return (self._any or len(args) <= self._most) and kwargs.keys() <= self._names


def asynchronous(
    replaced: TracedMethods[_Traced], name: str, replacement: Replacement
) -> Callable[..., Any]:
    """Make the replacement of an asynchronous method: the wrapper's method of that name."""
    parameters = Parameters(getattr(replaced.wrapper, name))

    @functools.wraps(replacement.original)
    async def replacing(client: Any, /, *args: Any, **kwargs: Any) -> Any:
        traced = replaced.traced(client, replacement)
        if traced is None or not parameters.fit(args, kwargs):
            return await replacement.bound(client)(*args, **kwargs)
        return await getattr(traced, name)(*args, **kwargs)

    return replacing


def synchronous(
    replaced: TracedMethods[_Traced], name: str, replacement: Replacement
) -> Callable[..., Any]:
    """Make the replacement of a synchronous method: the wrapper's method of that name."""
    parameters = Parameters(getattr(replaced.wrapper, name))

    @functools.wraps(replacement.original)
    def replacing(client: Any, /, *args: Any, **kwargs: Any) -> Any:
        traced = replaced.traced(client, replacement)
        if traced is None or not parameters.fit(args, kwargs):
            return replacement.bound(client)(*args, **kwargs)
        return getattr(traced, name)(*args, **kwargs)

    return replacing
