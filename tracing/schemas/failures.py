"""Whether an error says that bytes cannot be decoded, or that something else went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from tracing.messaging.outcome import Rejected, Unprocessable
from tracing.metrics.schema_metrics import UNDECODABLE, UNKNOWN_ID
from tracing.schemas.errors import UndecodableRecord, UnknownSchema

if TYPE_CHECKING:
    from collections.abc import Iterator

Failure = Literal["unknown_id", "undecodable"]

_REGISTRY_ERROR: Final = "SchemaRegistryError"
_NOT_FOUND: Final = range(40400, 40500)
"""A registry's own codes for "not found"; a page of a proxy has none."""
_CLIENTS: Final = frozenset(
    {
        "aiohttp", "anyio", "authlib", "azure", "botocore", "grpc", "httpcore", "httpcore2",
        "httpx", "httpx2", "hvac", "requests", "urllib3",
    }
)  # fmt: skip
"""Packages whose errors come from requests to a registry, or to a service that keeps keys."""
_CLIENT_MODULE: Final = "schema_registry_client"
"""The last part of the names of the modules in which confluent-kafka makes requests."""
_SCHEMA_ERRORS: Final = frozenset({"SchemaParseException", "UnknownType"})
"""fastavro's errors about a schema itself, which a registry gave: it answers garbage."""
_ELSEWHERE: Final = (
    AttributeError,
    ImportError,
    MemoryError,
    NameError,
    NotImplementedError,
    OSError,
    Rejected,
)
"""The network, the machine, the program or the business, and not the bytes."""
_MAX_CAUSES: Final = 16


def failure_of(error: Exception) -> Failure | None:
    """Return what an error of a decoder says about the bytes; `None` if nothing.

    `None` is the careful answer: such an error passes through unchanged, and the record is tried
    again. It is given for errors of the network and of the registry, wherever in the chain of
    causes, for those of the program itself, and for `Rejected` and the user's own `Unprocessable`.
    """
    if isinstance(error, Unprocessable):
        if isinstance(error, UnknownSchema):
            return UNKNOWN_ID
        return UNDECODABLE if isinstance(error, UndecodableRecord) else None
    answered = False
    for each in _causes(error):
        if _is_not_found(each):
            answered = True
        elif _is_elsewhere(each):
            return None
    return UNKNOWN_ID if answered else UNDECODABLE


def _causes(error: BaseException) -> Iterator[BaseException]:
    each: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if each is None:
            return
        yield each
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)


def _is_not_found(error: BaseException) -> bool:
    return (
        type(error).__name__ == _REGISTRY_ERROR and getattr(error, "error_code", None) in _NOT_FOUND
    )


def _is_elsewhere(error: BaseException) -> bool:
    if isinstance(error, _ELSEWHERE) or not isinstance(error, Exception):
        return True
    if isinstance(error, RuntimeError) and not isinstance(error, RecursionError):
        # A closed client or event loop.
        return True
    names = {kind.__name__ for kind in type(error).__mro__}
    packages = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    if _REGISTRY_ERROR in names or names & _SCHEMA_ERRORS or packages & _CLIENTS:
        return True
    return _came_from_request(error)


def _came_from_request(error: BaseException) -> bool:
    """Return whether it was raised while a registry was asked, as by an answer that is no JSON."""
    step = error.__traceback__
    while step is not None:
        module = step.tb_frame.f_globals.get("__name__")
        if isinstance(module, str) and module.rpartition(".")[2] == _CLIENT_MODULE:
            return True
        step = step.tb_next
    return False
