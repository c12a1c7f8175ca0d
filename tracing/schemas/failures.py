"""Whether an error says that bytes cannot be decoded, or that something else went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from tracing.messaging.outcome import Rejected, Unprocessable
from tracing.metrics.schema_metrics import UNDECODABLE, UNKNOWN_ID
from tracing.schemas.errors import UndecodableRecord, UnknownSchema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracing.schemas.wire import SchemaId

Failure = Literal["unknown_id", "undecodable"]

_REGISTRY_ERROR: Final = "SchemaRegistryError"
_NOT_FOUND: Final = frozenset({40400, 40403})
"""A registry's own codes for a schema that it does not know; the first is that of mock clients. A
page of a proxy has none, and those of subjects and versions are other ones."""
_NO_PAGE: Final = 404
_MAX_NUMBER: Final = 2**31 - 1
"""The greatest id of a registry; damaged bytes may name greater ones."""
_CLIENTS: Final = frozenset(
    {
        "aiohttp", "anyio", "authlib", "azure", "botocore", "grpc", "httpcore", "httpcore2",
        "httpx", "httpx2", "hvac", "requests", "urllib3",
    }
)  # fmt: skip
"""Packages whose errors come from requests to a registry, or to a service that keeps keys."""
_PACKAGE: Final = "confluent_kafka."
_CLIENT_MODULE: Final = "schema_registry_client"
"""The last part of the names of the modules in which confluent-kafka makes requests."""
_SCHEMA_METHODS: Final = frozenset({"get_parsed_schema", "get_reader_schema", "get_writer_schema"})
"""How confluent-kafka's deserializers name what gets a schema, apart from underscores."""
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


def failure_of(error: Exception, identity: SchemaId | None) -> Failure | None:
    """Return what an error of a decoder says about the bytes; `None` if nothing.

    `None` is the careful answer: such an error passes through unchanged, and the record is tried
    again. It is given for errors of the network and of the registry, wherever in the chain of
    causes, for those of the program itself, and for `Rejected` and the user's own `Unprocessable`.

    Args:
        error: The error.
        identity: The id of the schema that the bytes name, if they do.
    """
    if isinstance(error, Unprocessable):
        if isinstance(error, UnknownSchema):
            return UNKNOWN_ID
        return UNDECODABLE if isinstance(error, UndecodableRecord) else None
    answered = False
    for each in _causes(error):
        if _is_not_found(each, identity):
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


def _is_not_found(error: BaseException, identity: SchemaId | None) -> bool:
    if type(error).__name__ != _REGISTRY_ERROR:
        return False
    if getattr(error, "error_code", None) in _NOT_FOUND:
        return True
    impossible = isinstance(identity, int) and identity > _MAX_NUMBER
    return impossible and getattr(error, "http_status_code", None) == _NO_PAGE


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
    return _came_from_schema(error)


def _came_from_schema(error: BaseException) -> bool:
    """Return whether it was raised while a schema was requested or parsed, and not by the bytes.

    A registry that answers garbage leads to errors of any type.
    """
    step = error.__traceback__
    while step is not None:
        frame, step = step.tb_frame, step.tb_next
        module = frame.f_globals.get("__name__")
        if isinstance(module, str) and module.startswith(_PACKAGE):
            name = frame.f_code.co_name.lstrip("_")
            if module.rpartition(".")[2] == _CLIENT_MODULE or name in _SCHEMA_METHODS:
                return True
    return False
