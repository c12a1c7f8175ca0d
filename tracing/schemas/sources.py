"""Where the subject and version of a schema come from: a mapping, a function or a registry client.

Nothing waits for an answer. A mapping answers at once. An async function or client is awaited in a
task of its own; any other one is called in a thread of its own, so it may block.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from opentelemetry.context import attach, set_value

from tracing.core.callables import discard, kind_of
from tracing.core.ids import in_forked_child
from tracing.core.otel_context import SUPPRESSED
from tracing.core.text import is_name
from tracing.schemas.registry import RegistryClient, ask, ask_async
from tracing.schemas.wire import SubjectVersion

if TYPE_CHECKING:
    from tracing.schemas.wire import SchemaUse

SchemaSource = (
    Mapping[Any, SubjectVersion]
    | Callable[[Any], SubjectVersion | None]
    | Callable[[Any], Awaitable[SubjectVersion | None]]
    | RegistryClient
)
"""What knows schemas by their ids."""

Answered = Callable[[SubjectVersion | None, Exception | None], None]
"""Receives the answer, or why there is none."""

MAX_WAITING: Final = 100
"""Lookups that wait at a time; a process meets fewer new schemas than that."""


class Source(Protocol):
    """Answers for schemas, now or later.

    Attributes:
        at_once: Whether it answers before `begin` returns.
    """

    at_once: bool

    def begin(self, use: SchemaUse, answered: Answered) -> bool:
        """Look a schema up; `answered` is called once, from any thread.

        Returns:
            Whether the lookup has begun.
        """


def source_of(given: SchemaSource | None) -> Source | None:
    """Return what answers for schemas.

    Raises:
        TypeError: It is of another type.
    """
    if given is None:
        return None
    if isinstance(given, Mapping):
        return _Mapping(given)
    if isinstance(given, RegistryClient):
        if kind_of(given.get_schema_versions) == "async":
            return _Tasks(partial(ask_async, given))
        return _Threads(partial(ask, given))
    if not callable(given):
        raise TypeError(
            "lookup must be a mapping of ids to (subject, version), a function of an id, or a "
            f"client of confluent_kafka.schema_registry, not {type(given).__name__}"
        )
    if kind_of(given) == "async":
        return _Tasks(lambda use: given(use[0]))
    return _Threads(lambda use: given(use[0]))


class _Mapping:
    at_once = True

    def __init__(self, versions: Mapping[Any, SubjectVersion]) -> None:
        self._versions = versions

    def begin(self, use: SchemaUse, answered: Answered) -> bool:
        _answer(lambda: self._versions.get(use[0]), answered)
        return True


class _Tasks:
    """Awaits an async function, in the event loop that runs."""

    at_once = False

    def __init__(self, lookup: Callable[[SchemaUse], Any]) -> None:
        self._lookup = lookup
        # The loop itself holds its tasks weakly.
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, use: SchemaUse, answered: Answered) -> bool:
        if len(self._tasks) >= MAX_WAITING:
            return False
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        # In a context of its own: a lookup is no part of the handling of the record.
        task = loop.create_task(self._look_up(use, answered), context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _look_up(self, use: SchemaUse, answered: Answered) -> None:
        attach(set_value(SUPPRESSED, True))
        try:
            version = await self._lookup(use)
        except Exception as error:
            answered(None, error)
        except asyncio.CancelledError:
            answered(None, RuntimeError("the event loop ended during a lookup"))
            raise
        else:
            _answer(lambda: version, answered)


class _Threads:
    """Calls a plain function, in a thread that ends when there is nothing left to look up."""

    at_once = False

    def __init__(self, lookup: Callable[[SchemaUse], Any]) -> None:
        self._lookup = lookup
        in_forked_child(self._begin_anew)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[SchemaUse, Answered]] = deque()
        self._works = False

    def begin(self, use: SchemaUse, answered: Answered) -> bool:
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                return False
            self._waiting.append((use, answered))
            if self._works:
                return True
            # A daemon: a registry that does not answer must not hold up the end of the program.
            threading.Thread(target=self._work, name="pipeline-schemas", daemon=True).start()
            self._works = True
        return True

    def _work(self) -> None:
        attach(set_value(SUPPRESSED, True))
        while True:
            with self._lock:
                if not self._waiting:
                    self._works = False
                    return
                use, answered = self._waiting.popleft()
            _answer(partial(self._lookup, use), answered)


def _answer(look_up: Callable[[], Any], answered: Answered) -> None:
    try:
        version = look_up()
        if version is not None:
            version = _checked(version)
    except Exception as error:
        answered(None, error)
    else:
        answered(version, None)


def _checked(version: object) -> SubjectVersion:
    match version:
        case (subject, number) if (
            isinstance(subject, str) and is_name(subject) and type(number) is int and number > 0
        ):
            return subject, number
    discard(version)
    raise TypeError(
        "a lookup of a schema gave no subject (1 to 128 printable characters) and version (1 or "
        "more)"
    )
