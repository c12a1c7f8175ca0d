"""Calls that reach the client as the caller made them: by position, by name, or left out.

A subclass of aiokafka's client, or a double, may have fewer parameters, more, or others by name.
It has to be called as it would be without the wrapper.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_Declared = TypeVar("_Declared", bound="Callable[..., Any]")


def forwarded(declared: _Declared) -> _Declared:
    """Make a method that calls the wrapped client's of the same name, with the same arguments.

    Args:
        declared: Gives name, parameters, types and docstring; it is never called.
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
    """Decorate a method that takes arguments as they come: it looks as `declared`.

    Completion, `inspect.signature`, `create_autospec` and type checkers see the declaration.
    """

    def decorate(method: Callable[..., Any]) -> _Declared:
        doc = method.__doc__ or declared.__doc__
        functools.update_wrapper(method, declared)
        # Nobody is to find the declaration, which does nothing, beneath the method.
        del method.__wrapped__  # type: ignore[attr-defined]  # update_wrapper has set it
        method.__doc__ = doc
        signature = inspect.signature(declared)
        method.__signature__ = signature  # type: ignore[attr-defined]  # where inspect looks for it
        return cast("_Declared", method)

    return decorate


def argument(args: tuple[Any, ...], kwargs: Mapping[str, Any], place: tuple[int, str]) -> Any:
    """Find an argument by its position and name; `None` where the caller left it out."""
    position, name = place
    return args[position] if len(args) > position else kwargs.get(name)


def with_argument(
    args: tuple[Any, ...], kwargs: dict[str, Any], place: tuple[int, str], value: object
) -> tuple[Any, ...]:
    """Put a value where the caller gave an argument, by name where it was left out.

    Returns:
        The positional arguments; those by name are changed in place.
    """
    position, name = place
    if len(args) > position:
        return (*args[:position], value, *args[position + 1 :])
    kwargs[name] = value
    return args


def takes(method: Callable[..., Any], name: str) -> bool:
    """Whether a method accepts an argument by this name; true where that cannot be found out."""
    try:
        found = inspect.signature(method).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(
        parameter.kind is parameter.VAR_KEYWORD
        or (parameter.name == name and parameter.kind is not parameter.POSITIONAL_ONLY)
        for parameter in found
    )


def preset(method: Callable[..., Any], name: str) -> Any:
    """What a method takes for an argument that is left out; `None` where that is not to be seen."""
    try:
        found = inspect.signature(method).parameters.get(name)
    except (TypeError, ValueError):
        return None
    return None if found is None or found.default is found.empty else found.default


def parameters(method: Callable[..., Any]) -> tuple[str, ...]:
    """Names of a method's parameters that can be given by position and by name; else none.

    A method with parameters of other kinds, or with presets for those that are left out, or that
    does not show its parameters, has none.
    """
    try:
        # As it is: what `functools.wraps` made takes what it takes, whatever it shows.
        found = inspect.signature(method, follow_wrapped=False).parameters.values()
    except (TypeError, ValueError):
        return ()
    if any(
        parameter.kind is not parameter.POSITIONAL_OR_KEYWORD
        or parameter.default not in (None, parameter.empty)
        for parameter in found
    ):
        return ()
    return tuple(parameter.name for parameter in found)


async def entered(wrapper: Any, client: Any) -> Any:
    """Enter the client's `async with` block; gives what the block is to be bound to."""
    enter = _of_its_own(client, "__aenter__")
    if enter is None:
        await wrapper.start()
        return wrapper
    result = await enter()
    return wrapper if result is client else result


async def left(wrapper: Any, client: Any, *error: Any) -> Any:
    """Leave the client's `async with` block; true where its class suppresses the error."""
    leave = _of_its_own(client, "__aexit__")
    return await wrapper.stop() if leave is None else await leave(*error)


def _of_its_own(client: Any, name: str) -> Any:
    # These do nothing but start() and stop(), which the wrapper has, and its subclasses may extend.
    method = getattr(client, name, None)
    module = str(getattr(method, "__module__", None))
    return None if module.startswith(("aiokafka.", "tracing.testing.")) else method
