"""The replaced methods of one of aiokafka's classes, and the wrappers that do the tracing."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from tracing.core.log import warn_once
from tracing.kafka import coexistence
from tracing.kafka.replacement import Replacement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tracing.kafka.coexistence import OfficialInstrumentation
    from tracing.telemetry import Telemetry

_STATE: Final = "_pipeline_tracing"
_NONE: Final = (None, None, None)
_Traced = TypeVar("_Traced")


class Replaced(Generic[_Traced]):
    """The methods of one class that are replaced, and the wrappers of its instances.

    Args:
        wrapper: What does the tracing.
        telemetry: What the service's clients share.
        at_first_use: Called when a client calls one of the methods for the first time.
        official: The official instrumentation, which may turn up at any time.
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
        make: Callable[[Replaced[_Traced], str, Replacement], Callable[..., Any]],
    ) -> None:
        """Replace a method of a class by what `make` makes of it."""
        self._methods[name] = Replacement(owner, name, functools.partial(make, self, name))

    def replacements(self) -> Iterable[Replacement]:
        """What was replaced."""
        return self._methods.values()

    def traced(self, client: Any, replacement: Replacement) -> _Traced | None:
        """The wrapper of a client; `None` where the call is not to be traced."""
        if not replacement.active or coexistence.traced_call(client) is not None:
            return None
        self._official.switch_off()
        owner, of, traced = client.__dict__.get(_STATE, _NONE)
        # A copy of a client has the original's attributes.
        if owner is not self or of is not client:
            traced = self._wrapped(client)
            # On the client itself, so that it goes when the client goes.
            client.__dict__[_STATE] = (self, client, traced)
        return traced  # type: ignore[no-any-return]  # it is what was put there

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
    """A client as it is without the replacements: what the wrapper of a replaced client wraps."""

    def __init__(self, client: object, replaced: Mapping[str, Replacement]) -> None:
        self._replaced_client = client
        for name, replacement in replaced.items():
            self.__dict__[name] = replacement.bound(client)

    def __getattr__(self, name: str) -> Any:
        if name == "_replaced_client":  # before the constructor ran, as when unpickling
            raise AttributeError(name)
        return getattr(self._replaced_client, name)


class Parameters:
    """The parameters that a wrapper knows; a later aiokafka, or another library, may have more."""

    def __init__(self, method: Callable[..., Any]) -> None:
        _, *parameters = inspect.signature(method).parameters.values()
        kinds = [parameter.kind for parameter in parameters]
        self._most = sum(kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for kind in kinds)
        self._any = inspect.Parameter.VAR_POSITIONAL in kinds
        self._names = {parameter.name for parameter in parameters}

    def fit(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Whether a call has only arguments that the wrapper takes."""
        return (self._any or len(args) <= self._most) and kwargs.keys() <= self._names


def asynchronous(
    replaced: Replaced[_Traced], name: str, replacement: Replacement
) -> Callable[..., Any]:
    """Make what replaces an asynchronous method: the wrapper's method of that name."""
    parameters = Parameters(getattr(replaced.wrapper, name))

    @functools.wraps(replacement.original)
    async def replacing(client: Any, /, *args: Any, **kwargs: Any) -> Any:
        traced = replaced.traced(client, replacement)
        if traced is None or not parameters.fit(args, kwargs):
            return await replacement.bound(client)(*args, **kwargs)
        return await getattr(traced, name)(*args, **kwargs)

    return replacing


def synchronous(
    replaced: Replaced[_Traced], name: str, replacement: Replacement
) -> Callable[..., Any]:
    """Make what replaces a method that is not asynchronous."""
    parameters = Parameters(getattr(replaced.wrapper, name))

    @functools.wraps(replacement.original)
    def replacing(client: Any, /, *args: Any, **kwargs: Any) -> Any:
        traced = replaced.traced(client, replacement)
        if traced is None or not parameters.fit(args, kwargs):
            return replacement.bound(client)(*args, **kwargs)
        return getattr(traced, name)(*args, **kwargs)

    return replacing
