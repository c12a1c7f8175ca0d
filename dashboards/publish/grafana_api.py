"""Grafana's HTTP API: answers that are what they should be, or an error that says the mend."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN_VARIABLE: Final = "GRAFANA_TOKEN"  # noqa: S105 - the name of a variable
"""Where the token of a service account comes from; it is never an argument."""
_TIMEOUT_S: Final = 30.0
_MAX_PORT: Final = 65_535
_MENDS: Final[Mapping[int, str]] = {
    401: f"Grafana refuses the token; put one of a service account into {TOKEN_VARIABLE}",
    403: "the token may not do that; its service account needs the role Editor",
    404: "Grafana does not know that; is --url its root, with its sub-path if it has one?",
    409: "Grafana has something else of that name",
    412: "somebody else changed it meanwhile; look at it, and publish again",
}
_Kind = TypeVar("_Kind")


class PublishError(Exception):
    """Grafana cannot take the dashboards; the message says why, and what mends it."""


class GrafanaApi:
    """One Grafana. For one thread; a context manager.

    Args:
        url: Its root, with its sub-path if it has one.
        token: Of a service account.

    Raises:
        ValueError: The address or the token cannot be used; the message shows neither's secrets.
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
        """Ask for something; nothing where it is not there.

        Args:
            path: Of what.
            hidden: Whether a refusal counts as its absence as well: of what is not there, Grafana
                knows no rights.

        Raises:
            PublishError: Grafana does not answer, or refuses.
        """
        answer = self._answer("GET", path, None)
        absent = answer.status_code == httpx.codes.NOT_FOUND or (
            hidden and answer.status_code == httpx.codes.FORBIDDEN
        )
        return None if absent else self._content(answer, path)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Bring something over; raises as `get`."""
        return self._content(self._answer("POST", path, body), path)

    def part(
        self, found: dict[str, Any], name: str, kind: type[_Kind], default: _Kind | None = None
    ) -> _Kind:
        """What an answer has under a name.

        Raises:
            PublishError: It is of another kind, or missing without a default.
        """
        value = found.get(name, default)
        if not isinstance(value, kind):
            raise self._no_grafana()
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
            raise PublishError(self._without_token(_elsewhere(answer.next_request.url, path)))
        if answer.is_error:
            raise PublishError(self._without_token(_said(answer, path)))
        try:
            found = answer.json()
        except ValueError as error:
            raise self._no_grafana() from error
        if not isinstance(found, dict):
            raise self._no_grafana()
        return found

    def _without_token(self, said: str) -> str:
        """What a server said, without the token: some repeat what they were given."""
        return said.replace(self._token, "…")

    def _no_grafana(self) -> PublishError:
        return PublishError(f"{self._client.base_url} does not answer as Grafana does")


def _checked_url(url: str) -> httpx.URL:
    # Before it is parsed: a password may hold what makes an address invalid, and the parser's
    # message would show that part of it.
    if "@" in url:
        raise ValueError(f"--url has a user or password in it; put a token into {TOKEN_VARIABLE}")
    try:
        found = httpx.URL(url)
        found.host.encode("idna")
        if not 0 < (1 if found.port is None else found.port) <= _MAX_PORT:
            raise ValueError(f"--url is no address: there is no port {found.port}")
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ValueError(f"--url is no address: {error}") from error
    if found.scheme not in {"http", "https"} or not found.host:
        raise ValueError(f"--url needs http:// or https:// and a host, not {url!r}")
    return found


def _checked_token(token: str) -> str:
    found = token.strip()
    if not re.fullmatch(r"[!-~]+", found):
        raise ValueError(f"put the token of a service account into {TOKEN_VARIABLE}")
    return found


def _elsewhere(found: httpx.URL, path: str) -> str:
    bare = found.copy_with(username="", password="", query=None, fragment=None)
    target = str(bare).rstrip("/")
    if target.endswith(path):
        return f"Grafana is somewhere else: use --url {target.removesuffix(path)}"
    return f"--url leads to {target}, perhaps to sign in; use --url with Grafana's own root"


def _said(answer: httpx.Response, path: str) -> str:
    try:
        message = str(answer.json().get("message", ""))
    except (ValueError, AttributeError):
        message = ""
    mend = _MENDS.get(answer.status_code, "Grafana refuses")
    if "provisioned" in message.lower():
        mend = PROVISIONED
    elif path.startswith("/api/folders") and answer.status_code in {409, 412}:
        mend = "there is another folder of that name; give its uid to --folder"
    return f"{mend} ({answer.status_code} on {path}{': ' if message else ''}{message})"


PROVISIONED: Final = "it is provisioned from files: change those, or use another prefix"
