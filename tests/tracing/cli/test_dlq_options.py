"""Properties files in the format of Kafka's own commands; their secrets are never shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tracing.__main__ import main
from tracing.dlq import Connection
from tracing.kafka.connection import read_command_config

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("jaas", "password"),
    [
        ('username="ann" password="it\'s; = fine\'";', "it's; = fine'"),
        ('username="ann" password="a\\"b\\\\c";', 'a"b\\c'),
        ("username='ann' password='x y';", "x y"),
        ("username=ann password=plain;", "plain"),
    ],
)
def test_jaas_credentials_are_read_with_any_quotes(
    tmp_path: Path, jaas: str, password: str
) -> None:
    file = tmp_path / "client.properties"
    module = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    file.write_text(f"security.protocol=SASL_PLAINTEXT\nsasl.jaas.config={module} \\\n  {jaas}\n")

    options = read_command_config(file)

    assert ("ann", password) == (options["sasl_plain_username"], options["sasl_plain_password"])


def test_the_repr_of_a_connection_has_no_password() -> None:
    connection = Connection("kafka:9092", {"sasl_plain_password": "hunter2"})

    assert "hunter2" not in repr(connection)
    assert "hunter2" == connection.client()["sasl_plain_password"]


def test_a_missing_certificate_is_named(tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text("security.protocol=SSL\nssl.ca.location=/no/such/ca.pem\n")

    with pytest.raises(ValueError, match=r"ssl\.ca\.location: there is no file /no/such/ca\.pem"):
        read_command_config(file)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (b"security.protocol=SASL", "security.protocol SASL is not supported here; supported are "),
        (b"sasl.mechanism=GSSAPI", "sasl.mechanism GSSAPI is not supported here; supported are "),
        (b"security.protocol=SASL_SSL\nsasl.username=ann", "SASL_SSL needs sasl.username and "),
        (b"security.protocol=SASL_SSL\nsasl.jaas.config=module", "SASL_SSL needs sasl.username "),
        (b"security.protocol=SSL\nssl.ca.location=a.txt", "ssl.ca.location: a.txt holds no "),
        (b"security.protocol=SSL\nssl.certificate.location=a.txt", "no certificate in PEM with "),
        (b"security.protocol=SSL\nssl.key.location=a.txt", "needs ssl.certificate.location"),
        (b"client.id=\xff", "is not text in UTF-8"),
    ],
)
def test_a_file_that_cannot_be_used_is_wrong_usage_and_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    lines: bytes,
    why: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("no certificate")
    (tmp_path / "client.properties").write_bytes(lines)
    command = ["dlq", "list", "--bootstrap-servers", "127.0.0.1:1"]

    assert 2 == main([*command, "--command-config", "client.properties"])

    line = capsys.readouterr().err
    assert line.startswith("tracing: client.properties")
    assert why in line
    assert 1 == line.count("\n")
