"""Requests to a schema registry that speaks Confluent's HTTP API, and what its answers mean.

Only an answer with one of the registry's own codes counts: a proxy in front of it, or another
server under its address, may answer anything.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import unquote, urlsplit

from demo_pipeline.runtime.errors import DemoError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from urllib.parse import SplitResult

    from confluent_kafka.schema_registry import AsyncSchemaRegistryClient

Answer = TypeVar("Answer")

URL_VARIABLE: Final = "SCHEMA_REGISTRY_URL"
"""The environment variable with the URL of the registry; several are separated by commas."""
USER_VARIABLE: Final = "SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO"
"""The environment variable with `user:password`, if the registry asks for them."""

# Of "not found": a subject, a version or a schema.
_NOT_FOUND: Final = range(40400, 40500)
_CONFLICT: Final = 409
_UNPROCESSABLE: Final = 422
_REFUSES_USER: Final = frozenset({401, 403})
_MAX_MESSAGE: Final = 500
# The longest a request takes; a slow registry would otherwise delay its readers without a word.
_TIMEOUT_S: Final = 5.0


class RegistryAwayError(Exception):
    """The registry gives no usable answer now, but may later; the message says what is wrong."""


class NotRegisteredError(Exception):
    """The registry answers that it has no such schema."""


class SchemaRefusedError(DemoError):
    """The registry refuses a schema; the message says why."""


@dataclass(frozen=True, slots=True)
class RegistryAddress:
    """Where a registry is.

    Attributes:
        url: Its URL, without a user or a password.
        user_info: `user:password`, if it asks for them.
    """

    url: str
    user_info: str | None = field(default=None, repr=False)


def registry_address() -> RegistryAddress | None:
    """Return the address that the environment names; `None` if it names none.

    It comes from the environment alone, because it may hold a password.

    Raises:
        UsageError: It is no HTTP address.
    """
    text = os.environ.get(URL_VARIABLE, "").strip()
    return parse_address(text, URL_VARIABLE) if text else None


def parse_address(text: str, name: str) -> RegistryAddress:
    """Parse an address; user and password may also come from the environment.

    Args:
        text: The address.
        name: Where it comes from, for the error.

    Raises:
        UsageError: It is no HTTP address.
    """
    try:
        parts = [urlsplit(each.strip()) for each in text.split(",")]
        usable = all(
            each.scheme in {"http", "https"} and each.hostname and (each.port is None or each.port)
            for each in parts
        )
    except ValueError:
        usable = False
        parts = []
    if not usable:
        # Without the text, which may hold a password.
        raise UsageError(f"{name} is no address such as http://localhost:8081")
    user_info = os.environ.get(USER_VARIABLE) or _user_info(parts[0])
    if user_info is not None and ":" not in user_info:
        raise UsageError(f"{USER_VARIABLE} is not of the form USER:PASSWORD")
    return RegistryAddress(",".join(map(_without_user, parts)), user_info)


def _user_info(url: SplitResult) -> str | None:
    if url.username is None:
        return None
    return f"{unquote(url.username)}:{unquote(url.password or '')}"


def _without_user(url: SplitResult) -> str:
    return url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()


class RegistryClient:
    """A client of a registry. Use it from one event loop, and close it.

    Args:
        address: Where the registry is.
        timeout_s: The longest that a request takes, in seconds.
    """

    def __init__(self, address: RegistryAddress, *, timeout_s: float = _TIMEOUT_S) -> None:
        # Imported here: it takes a tenth of a second, and most runs need none.
        from confluent_kafka.schema_registry import (  # noqa: PLC0415
            AsyncSchemaRegistryClient,
            Schema,
        )

        self.url = address.url
        self._timeout_s = timeout_s
        self._schema = Schema
        # Repeating requests is up to the callers: they know how long they can wait.
        settings: dict[str, Any] = {"url": address.url, "timeout": timeout_s, "max.retries": 0}
        if address.user_info is not None:
            settings["basic.auth.user.info"] = address.user_info
        self.client: AsyncSchemaRegistryClient = AsyncSchemaRegistryClient(settings)
        """The client itself, for requests that this class lacks; wrap them in `ask`."""

    async def aclose(self) -> None:
        """Close its connections."""
        await self.client.aclose()

    async def text_of(self, schema_id: int) -> str:
        """Return a schema as JSON, or as what it is if it is not Avro.

        Raises:
            NotRegisteredError: The registry has no schema with this id.
            RegistryAwayError: It gives no usable answer.
        """
        schema = await self.ask(self.client.get_schema(schema_id))
        return await self._checked(schema.schema_str, str)

    async def version_of(self, schema_id: int, subject: str) -> int | None:
        """Return the version of a schema among those of a subject; `None` if it is none of them.

        Raises:
            RegistryAwayError: The registry gives no usable answer.
        """
        try:
            versions = await self.ask(self.client.get_schema_versions(schema_id))
        except NotRegisteredError:
            return None
        found = next((each.version for each in versions if each.subject == subject), None)
        return None if found is None else await self._checked(found, int)

    async def id_of(self, subject: str, text: str) -> int:
        """Return the id of a schema.

        Raises:
            NotRegisteredError: It is not registered under this subject.
            RegistryAwayError: The registry gives no usable answer.
        """
        schema = self._schema(text, "AVRO")
        found = await self.ask(self.client.lookup_schema(subject, schema))
        return await self._checked(found.schema_id, int)

    async def register(self, subject: str, text: str) -> int:
        """Register a schema, unless it is registered; return its id.

        Raises:
            SchemaRefusedError: The registry refuses it.
            RegistryAwayError: The registry gives no usable answer.
        """
        schema = self._schema(text, "AVRO")
        try:
            schema_id = await self.ask(self.client.register_schema(subject, schema))
        except NotRegisteredError as error:
            raise self._away(f"registers nothing (error {error})") from error
        return await self._checked(schema_id, int)

    async def forget(self) -> None:
        """Forget all answers: the client keeps them without a bound, and garbage as well."""
        await self.client.clear_caches()  # type: ignore[no-untyped-call]

    async def ask(self, request: Awaitable[Answer]) -> Answer:
        """Await a request of the client.

        Raises:
            NotRegisteredError: There is no such subject, version or schema.
            SchemaRefusedError: The registry refuses a schema.
            RegistryAwayError: It gives no usable answer.
        """
        from confluent_kafka.schema_registry import SchemaRegistryError  # noqa: PLC0415 - as above

        try:
            # The client's own limit is for each read: a few bytes a second would never reach it.
            async with asyncio.timeout(self._timeout_s):
                return await request
        except SchemaRegistryError as error:
            raise self._meaning(error) from None
        except TimeoutError:
            raise self._away(f"does not answer within {self._timeout_s:g} s") from None
        except ValueError:
            raise self._away("answers with something other than JSON") from None
        except (AttributeError, LookupError, TypeError):
            raise self._away("answers with other JSON than a schema registry") from None
        except Exception as error:  # whatever the HTTP client raises
            raise self._away(f"does not answer ({type(error).__name__})") from error

    def _meaning(self, error: Any) -> Exception:
        """Return what an unsuccessful answer means."""
        if error.error_code in _NOT_FOUND:
            return NotRegisteredError(str(error.error_code))
        status = error.http_status_code
        if status in {_CONFLICT, _UNPROCESSABLE}:
            message = " ".join(str(error.error_message).split())[:_MAX_MESSAGE]
            return SchemaRefusedError(f"the schema registry refuses a schema: {message}")
        if status in _REFUSES_USER:
            return self._away(f"refuses access (status {status})", f"is {USER_VARIABLE} right?")
        return self._away(f"answers with status {status}")

    async def _checked(self, content: Any, expected: type[Answer]) -> Answer:
        """Return an answer's content, if it is of its type.

        Raises:
            RegistryAwayError: It is of another type.
        """
        if type(content) is not expected:
            await self.forget()
            raise self._away("answers with other JSON than a schema registry")
        return content

    def _away(
        self, what: str, question: str = f"is it running, and is {URL_VARIABLE} right?"
    ) -> RegistryAwayError:
        return RegistryAwayError(f"the schema registry at {self.url} {what}: {question}")
