"""The HTTP session of an OTLP exporter, which bounds and reads the collector's answers.

The SDK's exporter takes every status below 400 for success, ignores rejected items, and reads
answers whole, however long they are and however slowly they arrive.
"""

from __future__ import annotations

import http.client
import io
import os
import time
from typing import TYPE_CHECKING, Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, ReadTimeoutError

from tracing.export.answers import MAX_ANSWER, Accepted, NotAcceptedError, printable, read_answer

if TYPE_CHECKING:
    import socket

    from tracing.export.answers import Signal

_OK: Final = range(200, 300)
_REDIRECTS: Final = range(300, 400)


class ExportSession(requests.Session):
    """Sends the requests of one exporter, which sends one at a time.

    Only 2xx is success: a redirect would change the POST, and no collector redirects. At most
    64 KiB of an answer are read, within the request's timeout.

    Args:
        signal: The kind of telemetry that is sent.
    """

    def __init__(self, signal: Signal) -> None:
        super().__init__()
        self.headers["accept-encoding"] = "identity"
        self._adapter = _Adapter(signal)
        self._settings: tuple[object, dict[str, Any]] = (None, {})
        for scheme in ("http://", "https://"):
            self.mount(scheme, self._adapter)

    def merge_environment_settings(
        self, url: str, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> dict[str, Any]:
        """Add what the environment says, such as proxies, which is read at the first request.

        The base class reads all variables for every request, which costs as much as to encode a
        hundred spans.
        """
        if proxies:
            return dict(super().merge_environment_settings(url, proxies, stream, verify, cert))
        asked = (url, stream, verify, cert)
        known, settings = self._settings
        if asked != known:
            settings = dict(super().merge_environment_settings(url, {}, stream, verify, cert))
            self._settings = asked, settings
        return {**settings, "proxies": {**settings["proxies"]}}

    def last_answer(self) -> Accepted:
        """Return the last successful answer, once."""
        answer, self._adapter.answer = self._adapter.answer, Accepted()
        return answer

    def last_fault(self) -> str:
        """Return why the last request failed, for log lines; empty where it succeeded."""
        return self._adapter.fault


class _RefusedError(requests.RequestException):
    """The collector accepted nothing, and another attempt would not help."""


class _Adapter(HTTPAdapter):
    def __init__(self, signal: Signal) -> None:
        self._signal = signal
        self._pid = os.getpid()
        self.answer = Accepted()
        self.fault = ""
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> Any:
        if self._pid != os.getpid():
            # A forked child must not send on its parent's connection.
            self._pid = os.getpid()
            self.proxy_manager.clear()
            self.init_poolmanager(1, 1)
        self.answer, self.fault = Accepted(), ""
        try:
            return self._send(request, *args, **options)
        except Exception as error:
            self.fault = printable(_cause(error))
            raise

    def _send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> Any:
        options["stream"] = True
        response = super().send(request, *args[1:], **options)
        body = _bounded_body(response)
        status = response.status_code
        if status in _REDIRECTS:
            raise _RefusedError(
                f"the endpoint answered {status} ({response.reason}), and only 2xx is success; "
                "set OTEL_EXPORTER_OTLP_ENDPOINT to its target",
                response=response,
            )
        if status in _OK:
            try:
                self.answer = read_answer(self._signal, status, response.headers, body)
            except NotAcceptedError as error:
                raise _RefusedError(str(error), response=response) from error
        else:
            self.fault = printable(f"the collector answered {status} ({response.reason})")
        # From here on the answer is read from memory, undecoded.
        response.headers.pop("content-encoding", None)
        response.raw = io.BytesIO(body)
        return response


def _bounded_body(response: requests.Response) -> bytes:
    raw = response.raw
    try:
        body: bytes = raw.read(MAX_ANSWER + 1, decode_content=False)
        if len(body) <= MAX_ANSWER:
            raw.release_conn()
        else:
            raw.close()
    except ReadTimeoutError as error:
        raw.close()
        raise requests.exceptions.ReadTimeout(error, response=response) from error
    except (HTTPError, OSError) as error:
        raw.close()
        raise requests.exceptions.ConnectionError(error, response=response) from error
    return body


def _cause(error: BaseException) -> str:
    # The innermost error says what happened; the outer ones repeat addresses and objects.
    inner: BaseException = error
    while (deeper := inner.__cause__ or inner.__context__) is not None:
        if isinstance(inner, _RefusedError):
            break
        inner = deeper
    text = str(inner)
    if isinstance(inner, _RefusedError):
        return text
    return f"{type(inner).__name__}: {text}" if text else type(inner).__name__


class _TimedReader(io.RawIOBase):
    """Reads from a socket until a deadline; the socket's own timeout restarts with every byte."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket, timeout_s: float) -> None:
        super().__init__()
        self._raw = raw
        self._socket = connection
        self._deadline = time.monotonic() + timeout_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the answer takes too long")
        self._socket.settimeout(remaining)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        timeout_s = sock.gettimeout()
        if timeout_s is not None:
            raw: Any = self.fp.detach()
            self.fp = io.BufferedReader(_TimedReader(raw, sock, timeout_s))


class _Connection(HTTPConnection):
    response_class = _TimedResponse


class _TlsConnection(HTTPSConnection):
    response_class = _TimedResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS: Final[dict[str, Any]] = {"http": _Pool, "https": _TlsPool}
