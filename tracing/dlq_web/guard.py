"""Keep everything but the operator's own browser out.

Any page that the operator has open can send requests to a server on the loopback interface, and by
DNS rebinding it can even read the answers. So a request needs the name of this host, the session
that the address in the terminal opens, and, to change something, an origin and a secret that only
pages of this server know.

Cookies are sent to all ports of a host. So the path of this one is a name that no other server on
this host is asked for, and its name is one that no other server sets.
"""

from __future__ import annotations

import re
from asyncio import CancelledError
from dataclasses import dataclass, field
from hmac import compare_digest
from http import HTTPStatus
from secrets import token_hex, token_urlsafe
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse

from tracing.dlq_web.problems import ASK_THE_TERMINAL, PageError, stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST: Final = re.compile(r"[a-z0-9.-]+|\[[0-9a-f:.]+\]")
"""A name or an address of a host as it stands in a URL, in lower case."""
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
FORM: Final = "tracing.dlq_web.form"
"""Where in a request's scope the fields of its form are, once the request was let in."""

_WITH_PORT: Final = re.compile(rf"({HOST.pattern})(?::[0-9]{{1,5}})?")
_LARGEST: Final = 256 * 1024
_MOST_FIELDS: Final = 1000
_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # With no-referrer, browsers would send no origin with a form.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets of one start, all random.

    Attributes:
        token: In the address that the terminal shows; opens a session.
        session: In the cookie.
        cookie: The name of the cookie; no secret.
        form: In each form.
        base: The path of all pages; no secret by itself.
    """

    token: str = field(default_factory=token_urlsafe, repr=False)
    session: str = field(default_factory=token_urlsafe, repr=False)
    form: str = field(default_factory=token_urlsafe, repr=False)
    cookie: str = field(default_factory=lambda: f"dead_letters_{token_hex(4)}")
    base: str = field(default_factory=lambda: f"/{token_urlsafe(9)}")

    @property
    def entry(self) -> str:
        """Path and query of the address that opens a session."""
        return f"{self.base}/?token={self.token}"


class Guard:
    """Lets in what may come in, and restricts what browsers do with the answers.

    Args:
        app: The pages.
        secrets: The secrets of this start.
        hosts: The names of this host that a browser may use, without port.
        refuse: Makes the page for an error.
    """

    def __init__(
        self,
        app: ASGIApp,
        secrets: Secrets,
        hosts: frozenset[str],
        refuse: Callable[[PageError], Response],
    ) -> None:
        self._app = app
        self._secrets = secrets
        self._hosts = hosts
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            return

        begun = False

        async def restricted(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        try:
            await (await self._answer(scope, receive))(scope, receive, restricted)
        except CancelledError:
            # Only the end of the server cancels a request.
            if not begun:
                await self._refuse(stopped())(scope, receive, restricted)

    async def _answer(self, scope: Scope, receive: Receive) -> ASGIApp:
        try:
            answer = self._admit(scope)
            if answer is None and scope["method"] == "POST":
                scope[FORM] = self._form(await _body(receive))
        except PageError as error:
            return self._refuse(error)
        return answer or self._app

    def _admit(self, scope: Scope) -> Response | None:
        """Return the answer that opens a session; `None` for a request of a session.

        Raises:
            PageError: The request is refused.
        """
        headers = Headers(scope=scope)
        host = self._host(headers)
        if not scope["path"].startswith(f"{self._secrets.base}/"):
            raise PageError(HTTPStatus.NOT_FOUND, "There is no such page", ASK_THE_TERMINAL)
        if scope["method"] not in {"GET", "HEAD", "POST"}:
            raise PageError(HTTPStatus.METHOD_NOT_ALLOWED, "Not a method of these pages", "")
        if scope["method"] == "POST":
            _check_origin(headers, host)
        elif scope["path"] == f"{self._secrets.base}/style.css":
            return None
        elif tokens := parse_qs(scope["query_string"].decode("latin-1")).get("token"):
            return self._open(tokens[0])
        session = cookie_parser(headers.get("cookie", "")).get(self._secrets.cookie, "")
        if not _same(session, self._secrets.session):
            raise PageError(HTTPStatus.FORBIDDEN, "This browser has no session", ASK_THE_TERMINAL)
        return None

    def _host(self, headers: Headers) -> str:
        named = headers.getlist("host")
        parts = _WITH_PORT.fullmatch(named[0].lower()) if len(named) == 1 else None
        if parts is None or parts[1] not in self._hosts:
            raise PageError(
                HTTPStatus.MISDIRECTED_REQUEST,
                "This server has another name",
                f"It answers to {', '.join(sorted(self._hosts))} alone, so that no other site can "
                "use it by a name of its own.",
            )
        return named[0]

    def _open(self, token: str) -> Response:
        if not _same(token, self._secrets.token):
            raise PageError(HTTPStatus.FORBIDDEN, "This address is not valid now", ASK_THE_TERMINAL)
        answer = RedirectResponse(f"{self._secrets.base}/", HTTPStatus.SEE_OTHER)
        answer.set_cookie(
            self._secrets.cookie,
            self._secrets.session,
            path=f"{self._secrets.base}/",
            httponly=True,
            samesite="strict",
        )
        return answer

    def _form(self, body: bytes) -> dict[str, list[str]]:
        try:
            fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError as error:
            raise PageError(
                HTTPStatus.BAD_REQUEST, "This form cannot be read", f"{error}."
            ) from error
        if not _same("".join(fields.pop("form_secret", ())), self._secrets.form):
            raise _foreign()
        return fields


def _check_origin(headers: Headers, host: str) -> None:
    """Check that a page of this server sent a form: every browser says where a form comes from."""
    fetched_from = headers.get("sec-fetch-site", "same-origin")
    if headers.getlist("origin") != [f"http://{host}"] or fetched_from != "same-origin":
        raise _foreign()


def _foreign() -> PageError:
    return PageError(
        HTTPStatus.FORBIDDEN,
        "This form is not of this server",
        "Nothing was done. Go back to the dead letters and begin again.",
    )


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        message: Mapping[str, Any] = await receive()
        if message["type"] == "http.disconnect":
            raise PageError(HTTPStatus.BAD_REQUEST, "This form has no end", "Nothing was done.")
        part: bytes = message.get("body", b"")
        body += part
        if len(body) > _LARGEST:
            raise PageError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "This form is too large", "Select less."
            )
        if not message.get("more_body", False):
            return body


def _same(given: str, expected: str) -> bool:
    return compare_digest(given.encode("utf-8", "replace"), expected.encode())
