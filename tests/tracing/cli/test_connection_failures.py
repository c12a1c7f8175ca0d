"""Why no broker can be used: each cause has a line of its own."""

from __future__ import annotations

import logging
import socket
import struct
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tracing.__main__ import main
from tracing.cli.attempts import connection_attempts, failed_attempts
from tracing.cli.unreachable import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COMMANDS = (["lag"], ["dlq", "list"], ["dlq", "purge", "--topic", "orders.pay.dlq", "--all"])


@pytest.fixture(params=COMMANDS, ids=" ".join)
def failing(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Return a function that runs a command, and returns the one line of its failure."""

    def run(servers: str, *more: str) -> str:
        assert 1 == main([*request.param, "--bootstrap-servers", servers, *more])
        captured = capsys.readouterr()
        assert "" == captured.out
        (line,) = captured.err.splitlines()
        return line

    return run


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Accept connections, and hand each over to a function; yield the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def wait_for_the_end(connection: socket.socket) -> None:
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        pass


def request_of(connection: socket.socket) -> tuple[int, int] | None:
    """Return a request's kind and correlation id; `None` at the end."""
    head = connection.recv(4, socket.MSG_WAITALL)
    if len(head) < len("size"):
        return None
    body = connection.recv(struct.unpack(">i", head)[0], socket.MSG_WAITALL)
    kind, _version, correlation_id = struct.unpack(">hhi", body[:8])
    return kind, correlation_id


VERSIONS, HANDSHAKE, AUTHENTICATE = 18, 17, 36
KINDS = ((3, 0, 5), (VERSIONS, 0, 0), (HANDSHAKE, 0, 1), (AUTHENTICATE, 0, 0))


def sasl_broker(connection: socket.socket, *, mechanism: bytes, refusal: bytes) -> None:
    """Answer as a broker that refuses the credentials."""
    while (request := request_of(connection)) is not None:
        kind, correlation_id = request
        if kind == VERSIONS:
            body = struct.pack(">hi", 0, len(KINDS)) + b"".join(
                struct.pack(">hhh", *each) for each in KINDS
            )
        elif kind == HANDSHAKE:
            body = struct.pack(">hi", 0, 1) + struct.pack(">h", len(mechanism)) + mechanism
        else:
            body = struct.pack(">hh", 58, len(refusal)) + refusal + struct.pack(">i", 0)
        connection.sendall(struct.pack(">ii", 4 + len(body), correlation_id) + body)


@pytest.fixture
def credentials(tmp_path: Path) -> tuple[str, str]:
    file = tmp_path / "client.properties"
    file.write_text(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\n"
        "sasl.username=me\nsasl.password=hunter2\n"
    )
    return "--command-config", str(file)


def test_a_name_that_cannot_be_resolved(failing: Callable[..., str]) -> None:
    line = failing("broker.invalid:9092")

    assert "tracing: cannot connect to Kafka: broker.invalid:9092: its name cannot be" in line


def test_a_port_on_which_nothing_listens(failing: Callable[..., str]) -> None:
    assert "127.0.0.1:1: connection refused" in failing("127.0.0.1:1")


def test_a_server_that_does_not_answer(failing: Callable[..., str]) -> None:
    with server(wait_for_the_end) as address:
        line = failing(address, "--timeout", "0.3")

    assert f"{address}: no answer in time" in line
    assert "--timeout" in line


def test_a_server_that_closes_the_connection(failing: Callable[..., str]) -> None:
    with server(lambda connection: None) as address:
        line = failing(address)

    assert f"{address}: it closes the connection; this port may need TLS or SASL" in line


def test_a_broker_that_refuses_the_credentials(
    failing: Callable[..., str], credentials: tuple[str, str]
) -> None:
    def answer(connection: socket.socket) -> None:
        sasl_broker(connection, mechanism=b"PLAIN", refusal=b"Invalid username or password")

    with server(answer) as address:
        line = failing(address, *credentials)

    assert f"{address}: it refuses the credentials; check those in the file" in line
    assert "Invalid username or password" in line
    assert "hunter2" not in line


def test_a_broker_that_knows_other_mechanisms(
    failing: Callable[..., str], credentials: tuple[str, str]
) -> None:
    def answer(connection: socket.socket) -> None:
        sasl_broker(connection, mechanism=b"SCRAM-SHA-512", refusal=b"")

    with server(answer) as address:
        line = failing(address, *credentials)

    assert f"{address}: it refuses the credentials" in line
    assert "SCRAM-SHA-512" in line


def test_a_port_without_tls(failing: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text("security.protocol=SSL\n")

    def answer(connection: socket.socket) -> None:
        connection.recv(5)
        connection.sendall(b"no TLS here, and no Kafka")

    with server(answer) as address:
        line = failing(address, "--command-config", str(file))

    assert f"{address}: TLS fails; check whether this port uses TLS" in line


def test_each_of_several_servers_has_its_own_cause(failing: Callable[..., str]) -> None:
    line = failing("broker.invalid:9092,127.0.0.1:1")

    # The client tries them in any order.
    assert "broker.invalid:9092: its name" in line
    assert "127.0.0.1:1: connection refused" in line


def test_causes_are_those_of_the_last_command_alone(failing: Callable[..., str]) -> None:
    failing("127.0.0.1:1")

    assert "127.0.0.1:1:" not in failing("127.0.0.1:2")


def test_the_loggers_are_left_as_they_were(failing: Callable[..., str]) -> None:
    logger = logging.getLogger("aiokafka")
    before = logger.level, logger.propagate, list(logger.handlers)

    failing("127.0.0.1:1")

    assert before == (logger.level, logger.propagate, logger.handlers)


def test_a_name_with_two_addresses_that_refuse_is_refused() -> None:
    error = OSError(
        "Multiple exceptions: [Errno 111] Connect call failed ('::1', 1), "
        "[Errno 111] Connect call failed ('127.0.0.1', 1)"
    )

    assert "localhost:1: connection refused" in describe("localhost:1", error)


def test_a_command_does_not_name_the_failed_connections_of_the_one_before_it() -> None:
    with connection_attempts():
        logging.getLogger("aiokafka").error("Unable connect to %s:%s: %s", "b", 1, OSError())
        assert ["b:1"] == [attempt.place for attempt in failed_attempts()]

    assert [] == failed_attempts()
