"""The command that serves dead letters to a browser."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

import httpx
import pytest

from tests.tracing.dlq_web.serving import serving
from tracing.__main__ import main

SERVE = ("dlq", "serve", "--bootstrap-servers", "127.0.0.1:1")
PORT = ("--port", "0")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_printed_address_opens_the_pages_until_a_signal_and_is_never_printed_again(
    stop: signal.Signals,
) -> None:
    with serving("127.0.0.1:1", "--timeout", "1") as (process, address):
        token = address.partition("token=")[2]
        with httpx.Client(follow_redirects=True) as browser:
            page = browser.get(address)
            assert HTTPStatus.SERVICE_UNAVAILABLE == page.status_code
            assert "connection refused" in page.text
            assert token not in str(page.url)
            assert token not in page.text
        with httpx.Client() as stranger:
            assert HTTPStatus.FORBIDDEN == stranger.get(address.partition("?")[0]).status_code

        process.send_signal(stop)

        output, rest = process.communicate(timeout=30)
        assert 0 == process.returncode
        assert "" == output
        assert token not in rest


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])  # noqa: S104
def test_an_address_that_others_can_reach_is_refused_unless_it_is_wanted(
    host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main([*SERVE, *PORT, "--host", host])

    assert "--allow-remote" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["0.0.0.0", "0", ""])  # noqa: S104
def test_all_addresses_need_the_name_that_browsers_use(
    host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main([*SERVE, *PORT, "--allow-remote", "--host", host])

    assert "add --allow-host" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["http://dlq.example", "dlq.example:8430", "a b", ""])
def test_a_name_that_no_browser_sends_is_refused(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main([*SERVE, *PORT, "--allow-host", name])

    assert "is no name or address of a host" in capsys.readouterr().err


def test_an_allowed_name_opens_the_pages_on_all_addresses_and_no_other_does() -> None:
    remote = ("--host", "0.0.0.0", "--allow-remote", "--allow-host", "DLQ.example")  # noqa: S104
    with serving("127.0.0.1:1", *remote) as (_, address), httpx.Client() as browser:
        printed = httpx.URL(address)
        assert "dlq.example" == printed.host
        local = printed.copy_with(host="127.0.0.1")

        def status(host: str) -> int:
            return browser.get(local, headers={"host": host}).status_code

        assert HTTPStatus.SEE_OTHER == status(f"dlq.example:{printed.port}")
        assert HTTPStatus.SEE_OTHER == status(f"127.0.0.1:{printed.port}")
        assert HTTPStatus.MISDIRECTED_REQUEST == status("0.0.0.0")  # noqa: S104
        assert HTTPStatus.MISDIRECTED_REQUEST == status("evil.example")


def test_localhost_is_printed_as_the_address_that_is_listened_on() -> None:
    with serving("127.0.0.1:1", "--host", "localhost") as (_, address):
        assert "127.0.0.1" == httpx.URL(address).host


def test_a_signal_ends_pages_that_wait_for_a_silent_cluster_without_a_traceback() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        serving(f"127.0.0.1:{silent.getsockname()[1]}") as (process, address),
        ThreadPoolExecutor(1) as pool,
    ):
        page = pool.submit(httpx.get, address, follow_redirects=True, timeout=60)
        connection, _ = silent.accept()
        with connection:
            process.send_signal(signal.SIGINT)
            _, rest = process.communicate(timeout=60)

        assert 0 == process.returncode
        assert "Traceback" not in rest
        assert HTTPStatus.SERVICE_UNAVAILABLE == page.result().status_code
        assert "The server was stopped" in page.result().text


def test_a_port_that_is_in_use_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert 1 == main([*SERVE, "--port", port])

    (line,) = capsys.readouterr().err.splitlines()
    assert f"cannot listen on 127.0.0.1:{port}" in line
    assert "choose another --port" in line


@pytest.mark.parametrize(
    "url", ["javascript:alert('{trace_id}')", "https://traces.example/{trace}", "{trace_id}"]
)
def test_a_trace_url_that_is_no_page_of_a_trace_is_refused(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main([*SERVE, *PORT, "--trace-url", url])

    (line,) = capsys.readouterr().err.splitlines()
    assert "Invalid value for '--trace-url'" in line
    assert "is not the URL of a page with {trace_id} in it" in line


@pytest.mark.parametrize("missing", ["starlette", "jinja2", "uvicorn"])
def test_a_missing_package_names_the_extra(
    missing: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith(("tracing.dlq_web", missing))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)

    assert 1 == main([*SERVE, *PORT])

    assert "pip install 'pipeline-tracing[web]'" in capsys.readouterr().err


def test_the_help_needs_none_of_these_packages() -> None:
    program = (
        "import sys\n"
        "from tracing.__main__ import main\n"
        "main(['dlq', 'serve', '--help'])\n"
        "print([name for name in ('starlette', 'jinja2', 'uvicorn') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    assert "[]" == done.stdout.splitlines()[-1]
