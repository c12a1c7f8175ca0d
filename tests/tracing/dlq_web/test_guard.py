"""Who is let in, and what a browser may do with the answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.tracing.dlq_web.browsing import HOST, Browser
from tracing.dlq_web.guard import Guard, Secrets

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

NOWHERE = "127.0.0.1:1"


@pytest.fixture
def browser() -> Browser:
    return Browser(NOWHERE)


def style(browser: Browser) -> int:
    """Return the status of a page of a session that needs no broker."""
    return browser.get("nowhere").status_code


def test_the_printed_address_opens_a_session_and_leaves_the_token_behind(browser: Browser) -> None:
    browser.client.cookies.clear()
    assert 403 == style(browser)

    answer = browser.client.get(browser.secrets.entry)

    assert 303 == answer.status_code
    assert f"{browser.secrets.base}/" == answer.headers["location"]
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert f"Path={browser.secrets.base}/" in cookie
    assert browser.secrets.token not in cookie
    assert 404 == style(browser)


@pytest.mark.parametrize("token", ["", "guessed", "\u00e9", "%00"])
def test_another_token_opens_nothing(browser: Browser, token: str) -> None:
    browser.client.cookies.clear()

    answer = browser.get(token=token)

    assert 403 == answer.status_code
    assert "set-cookie" not in answer.headers
    assert "printed in its terminal" in answer.text


def test_the_session_of_an_earlier_start_is_over(browser: Browser) -> None:
    browser.client.cookies.clear()
    browser.client.cookies.set(browser.secrets.cookie, Secrets().session)

    assert 403 == style(browser)


def test_each_start_has_secrets_of_its_own_that_no_log_shows() -> None:
    one, other = Secrets(), Secrets()

    texts = {each for secrets in (one, other) for each in (secrets.token, secrets.session)}
    assert 4 == len(texts)
    assert not any(text in repr(one) for text in texts)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8430", "127.0.0.1.evil.example", "127.0.0.1@evil", ""]
)
def test_a_name_of_another_site_is_refused_even_with_a_session(browser: Browser, host: str) -> None:
    answer = browser.client.get(f"{browser.secrets.base}/nowhere", headers={"host": host})

    assert 421 == answer.status_code


@pytest.mark.parametrize("host", ["127.0.0.1:9", "localhost:8430", "LOCALHOST", "[::1]:8430"])
def test_the_names_of_the_loopback_interface_are_accepted_on_any_port(
    browser: Browser, host: str
) -> None:
    cookie = f"{browser.secrets.cookie}={browser.secrets.session}"
    answer = browser.client.get(
        f"{browser.secrets.base}/nowhere", headers={"host": host, "cookie": cookie}
    )

    assert 404 == answer.status_code


def test_a_path_that_a_page_of_another_port_can_guess_leads_nowhere(browser: Browser) -> None:
    for path in ("/", "/letters", "/style.css", "/favicon.ico"):
        assert 404 == browser.client.get(path).status_code


@pytest.mark.parametrize("path", ["nowhere", "style.css", "letter?id=1", "?token=x"])
def test_no_answer_may_run_scripts_or_be_framed_or_kept(browser: Browser, path: str) -> None:
    answer = browser.client.get(f"{browser.secrets.base}/{path}")

    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert "no-store" == answer.headers["cache-control"]
    assert "nosniff" == answer.headers["x-content-type-options"]
    assert "same-origin" == answer.headers["referrer-policy"]


@pytest.mark.parametrize(
    ("headers", "secret"),
    [
        ({"origin": "http://evil.example"}, True),
        ({"origin": "http://127.0.0.1:9"}, True),
        ({"origin": "null"}, True),
        ({}, True),
        ({"origin": f"http://{HOST}", "sec-fetch-site": "same-site"}, True),
        ({"origin": f"http://{HOST}"}, False),
    ],
)
def test_a_form_that_is_not_of_this_server_is_refused(
    browser: Browser, headers: dict[str, str], *, secret: bool
) -> None:
    form = {"form_secret": browser.secrets.form} if secret else {"form_secret": "guessed"}

    answer = browser.client.post(f"{browser.secrets.base}/nowhere", data=form, headers=headers)

    assert 403 == answer.status_code
    assert "Nothing was done" in answer.text


def test_a_form_of_this_server_needs_a_session_and_a_bounded_size(browser: Browser) -> None:
    path, headers = f"{browser.secrets.base}/nowhere", {"origin": f"http://{HOST}"}
    form = {"form_secret": browser.secrets.form}
    assert 404 == browser.client.post(path, data=form, headers=headers).status_code

    large = form | {"id": "x" * 300_000}
    assert 413 == browser.client.post(path, data=large, headers=headers).status_code
    many = {**form, **{f"n{number}": "1" for number in range(2000)}}
    assert 400 == browser.client.post(path, data=many, headers=headers).status_code
    browser.client.cookies.clear()
    assert 403 == browser.client.post(path, data=form, headers=headers).status_code


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(browser: Browser, method: str) -> None:
    assert 405 == browser.client.request(method, f"{browser.secrets.base}/").status_code


def test_a_cookie_that_another_port_has_set_does_not_lock_the_operator_out(
    browser: Browser,
) -> None:
    for name in ("dead_letters", Secrets().cookie):
        browser.client.cookies.set(name, "of-another-port")

    assert 404 == style(browser)


class Exchange:
    """A request without a browser; `sent` has what was answered."""

    def __init__(self, browser: Browser, *messages: Message) -> None:
        secrets = browser.secrets
        headers = {
            "host": HOST,
            "origin": f"http://{HOST}",
            "cookie": f"{secrets.cookie}={secrets.session}",
        }
        self.scope: Scope = {
            "type": "http",
            "method": "POST",
            "path": f"{secrets.base}/nowhere",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        self.sent: list[Any] = []
        self._messages = list(messages)

    async def receive(self) -> Message:
        return self._messages.pop(0)

    async def send(self, message: Message) -> None:
        self.sent.append(message)


async def test_a_form_that_ends_early_is_refused() -> None:
    browser = await asyncio.to_thread(Browser, NOWHERE)
    whole = f"form_secret={browser.secrets.form}".encode()
    part = {"type": "http.request", "body": whole, "more_body": True}
    exchange = Exchange(browser, part, {"type": "http.disconnect"})

    await browser.client.app(exchange.scope, exchange.receive, exchange.send)

    assert 400 == exchange.sent[0]["status"]


async def test_a_request_that_the_end_of_the_server_cancels_is_answered() -> None:
    browser = await asyncio.to_thread(Browser, NOWHERE)
    begun = asyncio.Event()

    async def endless(_: Scope, __: Receive, ___: Send) -> None:
        begun.set()
        await asyncio.Event().wait()

    guard: Any = browser.client.app
    stopping = Guard(endless, browser.secrets, frozenset({"127.0.0.1"}), guard._refuse)
    body = f"form_secret={browser.secrets.form}".encode()
    exchange = Exchange(browser, {"type": "http.request", "body": body})
    request = asyncio.create_task(stopping(exchange.scope, exchange.receive, exchange.send))
    await begun.wait()

    request.cancel()
    await request

    assert 503 == exchange.sent[0]["status"]
    assert b"The server was stopped" in exchange.sent[1]["body"]
