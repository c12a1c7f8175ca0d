"""Living beside other instrumentation of the same client: nothing is counted twice.

The official aiokafka instrumentation and the library's own instrumentor replace methods of
aiokafka's classes. A traced call of a client skips the official replacement, and marks itself as
under way, so that the library's own replacement does not trace it again.
"""

from __future__ import annotations

import importlib
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Self, TypeVar, cast

from tracing.core.log import warn_once
from tracing.kafka.client import layers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

OFFICIAL: Final = "opentelemetry.instrumentation.aiokafka"
_HINT: Final = "To keep it out: OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=aiokafka"

_Method = TypeVar("_Method", bound="Callable[..., Any]")
_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


class TracedCall:
    """A call of a client's method that is traced already, while its `with` block is open.

    It travels with the context, so tasks that start meanwhile see it too, such as the one of
    Python 3.11's `asyncio.wait_for`. After the block it has no effect.

    Attributes:
        client: The client; `None` once the call is over.
        outer: The traced call, of any client, that this one is part of.
        received: The last record that the client's own `getone` returned meanwhile.
    """

    __slots__ = ("client", "outer", "received")

    def __init__(self, client: object) -> None:
        self.client: object = client
        self.outer: TracedCall | None = None
        self.received: Any = None

    def __enter__(self) -> Self:
        self.outer = _under_way.get()
        _under_way.set(self)
        return self

    def __exit__(self, *_exception: object) -> None:
        self.client = None
        # An abandoned coroutine is closed in any context.
        if _under_way.get() is self:
            _under_way.set(self.outer)


_under_way: ContextVar[TracedCall | None] = ContextVar("pipeline-tracing-call", default=None)


class ZeroCode:
    """Whether the library's own instrumentor has replaced methods of aiokafka's classes."""

    active = False


def zero_code(*, active: bool) -> None:
    """Note whether the library's own instrumentor has replaced methods of aiokafka's classes."""
    ZeroCode.active = active


def present() -> bool:
    """Return whether anything is loaded that may have replaced a client's methods."""
    return ZeroCode.active or OFFICIAL in sys.modules


def traced_call(client: object) -> TracedCall | None:
    """Return the traced call, of a client or its wrapper, that the running code is part of."""
    call = _under_way.get()
    while call is not None and call.client is not client and not _wraps(call.client, client):
        call = call.outer
    return call


def _wraps(wrapper: object, client: object) -> bool:
    return wrapper is not None and any(layer is client for layer in layers(wrapper))


def beneath(
    method: Callable[_Parameters, Awaitable[_Result]], client: object
) -> Callable[_Parameters, Awaitable[_Result]]:
    """Return a client's own method, beneath instrumentation that would trace it again.

    The search ends at the replacement of any other library, which stays in place.

    Args:
        method: An asynchronous method of the client.
        client: The client, for a method that is not bound.
    """
    # Only these two replace what the library wraps; where neither is loaded, this is cheap.
    if not present():
        return method
    own = without_official(method)
    if not ZeroCode.active:
        return own
    called = getattr(own, "__self__", client)

    async def marked(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        with TracedCall(called):
            return await own(*args, **kwargs)

    return marked


def call_beneath(method: Callable[[], _Result], client: object) -> _Result:
    """Call a client's own synchronous method, beneath the same instrumentation as `beneath`."""
    if not present():
        return method()
    own = without_official(method)
    with TracedCall(getattr(own, "__self__", client)):
        return own()


def without_official(method: _Method) -> _Method:
    """Return what the official instrumentation replaced, where it was the last to do so."""
    while official(method):
        warn_once(
            "opentelemetry-instrumentation-aiokafka is active on a client that is wrapped by "
            "pipeline-tracing; its spans are left out there, so that nothing is counted twice. "
            "To switch it off altogether: OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=aiokafka"
        )
        method = cast("Any", method).__wrapped__
    return method


def official(method: object) -> bool:
    """Return whether the official instrumentation was the last to replace a method."""
    module = getattr(getattr(method, "_self_wrapper", None), "__module__", None)
    return (
        isinstance(module, str)
        and module.startswith(OFFICIAL)
        and getattr(method, "__wrapped__", None) is not None
    )


class OfficialInstrumentation:
    """Switches the official instrumentation off, which would report everything again.

    Instrumentors load in any order, and a program may call one at any time, so check often.

    Args:
        producer: aiokafka's class of producers.
        consumer: aiokafka's class of consumers.
    """

    def __init__(self, producer: type[Any], consumer: type[Any]) -> None:
        self._producer = producer
        self._consumer = consumer
        self._instrumentor: Any = None

    def switch_off(self) -> None:
        """Undo it where it is active. Never raises."""
        try:
            if self._instrumentor is None:
                if OFFICIAL not in sys.modules:
                    return
                self._instrumentor = importlib.import_module(OFFICIAL).AIOKafkaInstrumentor()
            if self._instrumentor.is_instrumented_by_opentelemetry:
                self._undo()
        except Exception as fault:
            warn_once("aiokafka may be instrumented twice", error=fault)

    def _undo(self) -> None:
        methods = self._producer.send, self._consumer.getone, self._consumer.getmany
        if not all(map(official, methods)):
            # It removes the topmost replacement, which would be another library's.
            warn_once(
                "both pipeline-tracing and opentelemetry-instrumentation-aiokafka instrument "
                "aiokafka, and a third library has replaced methods since; everything is reported "
                f"twice. {_HINT}"
            )
            return
        warn_once(
            "both pipeline-tracing and opentelemetry-instrumentation-aiokafka instrument aiokafka; "
            f"the latter is switched off, so that nothing is counted twice. {_HINT}"
        )
        self._instrumentor.uninstrument()
