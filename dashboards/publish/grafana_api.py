"""Grafana's HTTP API, with errors that say how to fix the problem."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN_VARIABLE: Final = "GRAFANA_TOKEN"  # noqa: S105 - the name of a variable
"""The environment variable with a service account's token, which is never an argument."""
PROVISIONED: Final = "it is provisioned from files: change those, or use another prefix"
_TIMEOUT_S: Final = 30.0
_MAX_PORT: Final = 65_535
_ADVICE: Final[Mapping[int, str]] = {
    401: f"Grafana rejects the token; set {TOKEN_VARIABLE} to the token of a service account",
    403: "the token has no permission; its service account needs the role Editor",
    404: "not found; --url must be Grafana's root, including a sub-path",
    409: "Grafana already has another one with that name",
    412: "it was changed in the meantime; review the change and publish again",
}
_Kind = TypeVar("_Kind")


class PublishError(Exception):
    """Grafana does not accept the dashboards; the message says why and how to fix it."""


class GrafanaApi:
    """A client for one Grafana. It is a context manager and not thread-safe.

    Args:
        url: Grafana's root, including a sub-path.
        token: The token of a service account.

    Raises:
        ValueError: The address or the token is invalid; the message contains no secret.
    """

    def __init__(self, url: str, token: str) -> None:
        self._token = _checked_token(token)
        self._client = httpx.Client(
            base_url=_checked_url(url),
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=_TIMEOUT_S,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, *, hidden: bool = False) -> dict[str, Any] | None:
        """Send a GET request; return nothing if the resource does not exist.

        Args:
            path: The path of the resource.
            hidden: Whether 403 also means that it does not exist: Grafana may answer so, because
                nothing grants permission to what does not exist.

        Raises:
            PublishError: Grafana does not answer, or answers with an error.
        """
        answer = self._answer("GET", path, None)
        absent = answer.status_code == httpx.codes.NOT_FOUND or (
            hidden and answer.status_code == httpx.codes.FORBIDDEN
        )
        return None if absent else self._content(answer, path)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send a POST request; errors as in `get`."""
        return self._content(self._answer("POST", path, body), path)

    def part(
        self, content: dict[str, Any], name: str, kind: type[_Kind], default: _Kind | None = None
    ) -> _Kind:
        """Return the value of a key in an answer.

        Raises:
            PublishError: The value has another type, or it is missing and there is no default.
        """
        value = content.get(name, default)
        if not isinstance(value, kind):
            raise self._not_grafana()
        return value

    def _answer(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
        try:
            return self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise PublishError(
                f"Grafana does not answer at {self._client.base_url} "
                f"({type(error).__name__}: {error})"
            ) from error

    def _content(self, answer: httpx.Response, path: str) -> dict[str, Any]:
        if answer.next_request is not None:
            raise PublishError(self._without_token(_redirect_text(answer.next_request.url, path)))
        if answer.is_error:
            raise PublishError(self._without_token(_error_text(answer, path)))
        try:
            content = answer.json()
        except ValueError as error:
            raise self._not_grafana() from error
        if not isinstance(content, dict):
            raise self._not_grafana()
        return content

    def _without_token(self, text: str) -> str:
        """Remove the token, which some servers repeat in their answer."""
        return text.replace(self._token, "…")

    def _not_grafana(self) -> PublishError:
        return PublishError(f"{self._client.base_url} does not answer like Grafana")


def _checked_url(url: str) -> httpx.URL:
    # Checked before parsing: a password may make the address invalid, and the parser's message
    # would show a part of it.
    if "@" in url:
        raise ValueError(f"--url contains a user or password; use {TOKEN_VARIABLE} instead")
    try:
        address = httpx.URL(url)
        address.host.encode("idna")
        if not 0 < (1 if address.port is None else address.port) <= _MAX_PORT:
            raise ValueError(f"--url is not an address: there is no port {address.port}")
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ValueError(f"--url is not an address: {error}") from error
    if address.scheme not in {"http", "https"} or not address.host:
        raise ValueError(f"--url needs http:// or https:// and a host, not {url!r}")
    return address


def _checked_token(token: str) -> str:
    stripped = token.strip()
    if not re.fullmatch(r"[!-~]+", stripped):
        raise ValueError(f"set {TOKEN_VARIABLE} to the token of a service account")
    return stripped


def _redirect_text(location: httpx.URL, path: str) -> str:
    bare = location.copy_with(username="", password="", query=None, fragment=None)
    target = str(bare).rstrip("/")
    if target.endswith(path):
        return f"Grafana has another address: use --url {target.removesuffix(path)}"
    return f"--url redirects to {target}, maybe to a login page; use Grafana's own root"


def _error_text(answer: httpx.Response, path: str) -> str:
    try:
        message = str(answer.json().get("message", ""))
    except (ValueError, AttributeError):
        message = ""
    advice = _ADVICE.get(answer.status_code, "Grafana reports an error")
    if "provisioned" in message.lower():
        advice = PROVISIONED
    elif path.startswith("/api/folders") and answer.status_code in {409, 412}:
        advice = "another folder has that name; pass its uid to --folder"
    return f"{advice} ({answer.status_code} on {path}{': ' if message else ''}{message})"
