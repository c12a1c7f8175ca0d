"""Calls that reach the client unchanged: arguments by position, by name, or left out.

A subclass of aiokafka's client, or a double, may have fewer parameters, more, or other names. It
is called exactly as without the wrapper.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tracing.kafka.client import broker_client, layers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

_Declared = TypeVar("_Declared", bound="Callable[..., Any]")


def forwarded(declared: _Declared) -> _Declared:
    """Make a method that calls the wrapped client's method of the same name and arguments.

    Args:
        declared: Provides name, parameters, types and docstring; it is never called.
    """
    name = declared.__name__
    if inspect.iscoroutinefunction(declared):

        async def call_later(self: Any, *args: Any, **kwargs: Any) -> Any:
            return await getattr(self._reached(), name)(*args, **kwargs)

        return like(declared)(call_later)

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._reached(), name)(*args, **kwargs)

    return like(declared)(call)


def like(declared: _Declared) -> Callable[[Callable[..., Any]], _Declared]:
    """Decorate a method with `*args` and `**kwargs` so that it looks like `declared`.

    Completion, `inspect.signature`, `create_autospec` and type checkers see the declaration.
    """

    def decorate(method: Callable[..., Any]) -> _Declared:
        doc = method.__doc__ or declared.__doc__
        functools.update_wrapper(method, declared)
        # The declaration does nothing: tools must not find it beneath the method.
        del method.__wrapped__  # type: ignore[attr-defined]  # update_wrapper has set it
        method.__doc__ = doc
        signature = inspect.signature(declared)
        method.__signature__ = signature  # type: ignore[attr-defined]  # where inspect looks for it
        return cast("_Declared", method)

    return decorate


def argument(args: tuple[Any, ...], kwargs: Mapping[str, Any], place: tuple[int, str]) -> Any:
    """Return an argument by its position and name; `None` where the caller left it out."""
    position, name = place
    return args[position] if len(args) > position else kwargs.get(name)


def with_argument(
    args: tuple[Any, ...], kwargs: dict[str, Any], place: tuple[int, str], value: object
) -> tuple[Any, ...]:
    """Replace an argument; one that the caller left out is passed by name.

    Returns:
        The positional arguments; `kwargs` is changed in place.
    """
    position, name = place
    if len(args) > position:
        return (*args[:position], value, *args[position + 1 :])
    kwargs[name] = value
    return args


def takes(method: Callable[..., Any], name: str) -> bool:
    """Return whether a method accepts an argument by this name; true where that is unknown."""
    try:
        accepted = inspect.signature(method).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(
        parameter.kind is parameter.VAR_KEYWORD
        or (parameter.name == name and parameter.kind is not parameter.POSITIONAL_ONLY)
        for parameter in accepted
    )


def preset(method: Callable[..., Any], name: str) -> Any:
    """Return the default of a method's argument; `None` where it has none, or hides it."""
    try:
        parameter = inspect.signature(method).parameters.get(name)
    except (TypeError, ValueError):
        return None
    if parameter is None or parameter.default is parameter.empty:
        return None
    return parameter.default


def parameters(method: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of a method's parameters, if all can be passed by position and by name.

    Empty for a method with parameters of other kinds, with other defaults than `None`, or with
    hidden parameters: a replacement may show those of the method that it replaces, and yet handle
    arguments by name alone.
    """
    # A proxy has every attribute of what it stands for.
    function = method.__func__ if type(method) is MethodType else method
    if type(function) is not FunctionType or "__signature__" in vars(function):
        return ()
    try:
        # Without `follow_wrapped`: `functools.wraps` shows other parameters than it accepts.
        accepted = inspect.signature(method, follow_wrapped=False).parameters.values()
    except (TypeError, ValueError):
        return ()
    if any(
        parameter.kind is not parameter.POSITIONAL_OR_KEYWORD
        or parameter.default not in (None, parameter.empty)
        for parameter in accepted
    ):
        return ()
    return tuple(parameter.name for parameter in accepted)


async def entered(wrapper: Any, client: Any) -> Any:
    """Enter the client's `async with` block; return the value after `as`."""
    enter = _of_its_own(client, "__aenter__")
    if enter is None:
        await wrapper.start()
        return wrapper
    result = await enter()
    return wrapper if result is client else result


async def left(wrapper: Any, client: Any, *error: Any) -> Any:
    """Leave the client's `async with` block; return whether its class suppresses the error."""
    leave = _of_its_own(client, "__aexit__")
    return await wrapper.stop() if leave is None else await leave(*error)


async def stop_in_full(stop: Callable[[], Awaitable[Any]], consumer: object) -> None:
    """Stop a consumer, also if its broker ends at the same time.

    aiokafka cancels its fetches, and waits for each. One that is about to try again after a lost
    connection raises `CancelledError` then, which aiokafka 0.14 lets out of `stop`, with its
    connections still open (aiokafka #647). To a program, that looks like a cancellation of its
    own.

    Args:
        stop: The client's own `stop`.
        consumer: The client.
    """
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    try:
        await stop()
    except asyncio.CancelledError:
        if task is None or task.cancelling() > before:
            raise
        for connections in filter(None, map(broker_client, layers(consumer))):
            await connections.close()
            return
        raise


def _of_its_own(client: Any, name: str) -> Any:
    # These only call start() and stop(), which the wrapper has and its subclasses may extend.
    method = getattr(client, name, None)
    function = method.__func__ if type(method) is MethodType else None
    # Not by `__module__`, which a replacement copies.
    module = function.__globals__["__name__"] if type(function) is FunctionType else ""
    return None if module.startswith(("aiokafka.", "tracing.testing.")) else method
