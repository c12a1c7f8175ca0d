"""The kind and the name of a callable, before it is called.

A callable of the wrong kind is refused early. A handler without `async` would run first, and fail
then, once per attempt and record.
"""

from __future__ import annotations

import dis
import functools
import inspect
from types import CoroutineType, FunctionType, MethodType
from typing import Final, Literal

Kind = Literal["async", "sync", "generator", "async generator"]

_MAX_LAYERS: Final = 100


def kind_of(function: object) -> Kind | None:
    """Return what kind of function this is; `None` where only a call can show it.

    It looks through `functools.partial`, bound methods and objects with a `__call__`. It does not
    look into objects that pretend to be a function, such as those of `wrapt`: they may call it in
    their own way. A function without `async` may return the coroutine of another function. It
    counts as "sync" only if it returns nothing but constants.
    """
    function = _innermost(function)
    if _says_async(function):
        return None if _is_proxy(function) else "async"
    if type(function) is not FunctionType:
        return None
    flags = function.__code__.co_flags
    if flags & inspect.CO_ASYNC_GENERATOR:
        return "async generator"
    if flags & inspect.CO_ITERABLE_COROUTINE:
        return "async"
    if flags & inspect.CO_GENERATOR:
        return "generator"
    return "sync" if _returns_constants(function) else None


def require_async(function: object, what: str, *, arguments: int | None = None) -> None:
    """Refuse an object that certainly returns nothing to await.

    Args:
        function: The argument of a user.
        what: Its purpose, as the beginning of a sentence.
        arguments: Number of positional arguments of each call; by default not checked.

    Raises:
        TypeError: It cannot be called, or it is no async function; the message says how to fix it.
    """
    if not callable(function):
        raise TypeError(f"{what} must be an async function, not {type(function).__name__}")
    name = name_of(function)
    if isinstance(function, type) and not _is_proxy(function):
        if _gives_plain_instances(function):
            raise TypeError(f"{what} is the class {name}: give an instance of it, or a method")
        return
    match kind_of(function):
        case "sync":
            raise TypeError(
                f"{what} must be async, and {name} is not: write it as `async def`; what blocks "
                "in it goes into `await asyncio.to_thread(...)`"
            )
        case "generator" | "async generator" as kind:
            raise TypeError(
                f"{what} must be an async function, and {name} is a function with `yield`, which "
                f"makes {'an' if kind.startswith('a') else 'a'} {kind}: write it as `async def` "
                "without `yield`"
            )
    _require_arguments(function, what, arguments)


def require_sync(function: object, what: str, *, arguments: int | None = None) -> None:
    """Refuse an object that certainly returns no plain result without `await`.

    Args:
        function: The argument of a user.
        what: Its purpose, as the beginning of a sentence.
        arguments: Number of positional arguments of each call; by default not checked.

    Raises:
        TypeError: It cannot be called, or it gives something that has to be awaited or iterated.
    """
    if not callable(function):
        raise TypeError(f"{what} must be a function, not {type(function).__name__}")
    kind = kind_of(function)
    if kind in {"async", "generator", "async generator"}:
        raise TypeError(
            f"{what} must be a plain function, and {name_of(function)} is "
            f"{'an async function' if kind == 'async' else f'a function with `yield` ({kind})'}: "
            "write it as `def`; it is called without `await`"
        )
    _require_arguments(function, what, arguments)


def require_event(event: object, what: str) -> None:
    """Refuse an event that is not asyncio's. A `threading.Event` would block the event loop.

    Args:
        event: The argument of a user.
        what: The name of the argument.

    Raises:
        TypeError: It has no `is_set` or no async `wait`.
    """
    wait = getattr(event, "wait", None)
    # A test double pretends to be async, which does no harm here.
    waits = kind_of(wait) == "async" or _says_async(wait)
    if not (waits and callable(getattr(event, "is_set", None))):
        kind = type(event)
        raise TypeError(
            f"{what} must be an asyncio.Event, not {kind.__module__}.{kind.__qualname__}"
        )


def not_awaitable(function: object, answer: object) -> TypeError:
    """Make the error for a function whose call returned nothing to await."""
    return TypeError(
        f"{name_of(function)} gave a {type(answer).__name__} instead of something to await: write "
        "it as `async def`"
    )


def name_of(function: object) -> str:
    """Name a callable by its code alone: bound values may be private."""
    for _ in range(_MAX_LAYERS):
        if not isinstance(function, functools.partial):
            break
        function = function.func
    name = getattr(function, "__qualname__", None)
    return name if isinstance(name, str) else type(function).__qualname__


def discard(result: object) -> None:
    """Close a coroutine that was returned instead of a plain result: it will not be awaited."""
    if isinstance(result, CoroutineType):
        result.close()


def _require_arguments(function: object, what: str, arguments: int | None) -> None:
    innermost = _innermost(function)
    # A call of any other object, or of one whose signature was set, may take other arguments.
    if arguments is None or type(innermost) is not FunctionType:
        return
    if hasattr(function, "__signature__") or hasattr(innermost, "__signature__"):
        return
    try:
        # Of the function itself: a decorator may add arguments to those of what it wraps.
        signature = inspect.signature(function, follow_wrapped=False)  # type: ignore[arg-type]  # callable, as checked before
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*range(arguments))
    except TypeError as error:
        raise TypeError(
            f"{what} is called with {arguments} argument{'s' * (arguments > 1)}, which "
            f"{name_of(function)} does not take ({error}); give it what "
            "else it needs by functools.partial"
        ) from None


def _innermost(function: object) -> object:
    for _ in range(_MAX_LAYERS):
        if _is_proxy(function):
            break
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, MethodType):
            function = function.__func__
        elif isinstance(function, FunctionType | type) or _says_async(function):
            break
        else:
            # A static method or another descriptor is called in its own way.
            call = inspect.getattr_static(type(function), "__call__", None)
            if type(call) is not FunctionType:
                break
            function = call
    return function


def _says_async(function: object) -> bool:
    try:
        return inspect.iscoroutinefunction(function)
    except Exception:
        # A test double pretends to be a function, and has no code.
        return False


def _is_proxy(function: object) -> bool:
    return function.__class__ is not type(function)


def _gives_plain_instances(kind: type) -> bool:
    own_call = type(kind).__call__ is not type.__call__
    return not (own_call or isinstance(kind.__new__, FunctionType) or hasattr(kind, "__await__"))


def _returns_constants(function: FunctionType) -> bool:
    before = ""
    for instruction in dis.get_instructions(function):
        # Python 3.12 has an instruction of its own, RETURN_CONST.
        if instruction.opname == "RETURN_VALUE" and (
            before != "LOAD_CONST" or instruction.is_jump_target
        ):
            return False
        before = instruction.opname
    return True
