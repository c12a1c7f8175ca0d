"""Other libraries that replace methods of aiokafka's classes, each in a common way."""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol

import wrapt
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

if TYPE_CHECKING:
    from collections.abc import Callable

METHODS: list[tuple[type[Any], str]] = [
    (AIOKafkaProducer, "start"),
    (AIOKafkaProducer, "send"),
    (AIOKafkaProducer, "send_batch"),
    (AIOKafkaConsumer, "getone"),
    (AIOKafkaConsumer, "getmany"),
    (AIOKafkaConsumer, "commit"),
    (AIOKafkaConsumer, "stop"),
]


class Patcher(Protocol):
    """Replaces methods of aiokafka's classes, and counts their calls."""

    calls: Counter[str]

    def patch(self) -> None: ...

    def unpatch(self) -> None: ...


class Proxies:
    """Replaces by wrapt's proxies, and takes off what lies on top.

    Args:
        blindly: Whether it takes that off whatever it is, as ddtrace does, or only a proxy, as
            OpenTelemetry's instrumentation does.
    """

    def __init__(self, *, blindly: bool) -> None:
        self.calls: Counter[str] = Counter()
        self._blindly = blindly

    def patch(self) -> None:
        for owner, name in METHODS:
            wrapt.wrap_function_wrapper(owner, name, self._called)

    def unpatch(self) -> None:
        for owner, name in METHODS:
            top = getattr(owner, name)
            if self._blindly or isinstance(top, wrapt.BaseObjectProxy):
                setattr(owner, name, top.__wrapped__)

    async def _called(
        self, method: Callable[..., Any], _client: object, args: Any, kwargs: Any
    ) -> Any:
        self.calls[method.__name__] += 1
        return await method(*args, **kwargs)


class Functions:
    """Replaces by plain functions, and puts back what it found."""

    def __init__(self, *, wraps: bool) -> None:
        self.calls: Counter[str] = Counter()
        self._wraps = wraps
        self._found: list[tuple[type[Any], str, Any]] = []

    def patch(self) -> None:
        for owner, name in METHODS:
            found = inspect.getattr_static(owner, name)
            self._found.append((owner, name, found))
            setattr(owner, name, self._replacement(name, found))

    def unpatch(self) -> None:
        for owner, name, found in self._found:
            setattr(owner, name, found)

    def _replacement(self, name: str, found: Any) -> Any:
        async def replacement(client: Any, *args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            return await found.__get__(client, type(client))(*args, **kwargs)

        return functools.wraps(found)(replacement) if self._wraps else replacement


PATCHERS: dict[str, Callable[[], Patcher]] = {
    "proxies": functools.partial(Proxies, blindly=False),
    "ddtrace-like-proxies": functools.partial(Proxies, blindly=True),
    "functions": functools.partial(Functions, wraps=True),
    "opaque-functions": functools.partial(Functions, wraps=False),
}
