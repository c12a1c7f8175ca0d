"""The connection to a cluster: its address, and a properties file with further options."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_JAAS: Final = re.compile(
    r"""\b(username|password)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s;"']+))"""
)
_ESCAPED: Final = re.compile(r"\\(.)")
_CONTINUED: Final = re.compile(r"\\\r?\n[ \t]*")
_OPTIONS: Final = {
    "security.protocol": "security_protocol",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.username": "sasl_plain_username",
    "sasl.password": "sasl_plain_password",
    "client.id": "client_id",
}
_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
# Other mechanisms need libraries or callbacks that a file cannot provide.
_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_FILES: Final = frozenset(
    {"ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.key.password"}
)


@dataclass(frozen=True, slots=True)
class Connection:
    """How to connect to a cluster.

    Attributes:
        bootstrap_servers: `host:port`, several separated by commas.
        options: Further options of aiokafka's clients; the repr omits them, as they may hold a
            password.
    """

    bootstrap_servers: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def client(self) -> dict[str, Any]:
        """Return the options for an aiokafka client."""
        return {
            "bootstrap_servers": self.bootstrap_servers,
            "client_id": "pipeline-tracing-dlq",
            **self.options,
        }


def read_command_config(file: Path) -> dict[str, Any]:
    """Read a properties file, like `--command-config` of Kafka's own commands.

    It may set `security.protocol`, `sasl.mechanism`, `sasl.username` and `sasl.password`, or
    `sasl.jaas.config`, `client.id`, and `ssl.ca.location`, `ssl.certificate.location`,
    `ssl.key.location` and `ssl.key.password` for PEM files.

    A line that ends in a backslash continues on the next one.

    Raises:
        OSError: The file cannot be read.
        ValueError: A line is not a property, a property is unknown, its value cannot be used or
            one that it needs is missing. The message names the file, and never contains a value
            that may be a password.
    """
    properties: dict[str, str] = {}
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not text in UTF-8") from None
    for number, line in enumerate(_CONTINUED.sub("", text).splitlines(), 1):
        content = line.strip()
        if not content or content.startswith(("#", "!")):
            continue
        name, equals, value = content.partition("=")
        if not equals:
            raise ValueError(f"{file}:{number} is not of the form name=value")
        properties[name.strip()] = value.strip()
    options: dict[str, Any] = {}
    for name, value in properties.items():
        if name in _OPTIONS:
            options[_OPTIONS[name]] = value
        elif name == "sasl.jaas.config":
            credentials = {
                key: _ESCAPED.sub(r"\1", quoted) or single or bare
                for key, quoted, single, bare in _JAAS.findall(value)
            }
            options["sasl_plain_username"] = credentials.get("username")
            options["sasl_plain_password"] = credentials.get("password")
        elif name not in _FILES:
            supported = ", ".join(sorted({*_OPTIONS, *_FILES, "sasl.jaas.config"}))
            raise ValueError(f"{file}: {name} is not supported here; supported are {supported}")
    return _checked(options, properties, file)


def _checked(options: dict[str, Any], properties: Mapping[str, str], file: Path) -> dict[str, Any]:
    protocol = str(options.get("security_protocol", _PROTOCOLS[0])).upper()
    mechanism = str(options.get("sasl_mechanism", _MECHANISMS[0]))
    for name, value, supported in (
        ("security.protocol", protocol, _PROTOCOLS),
        ("sasl.mechanism", mechanism, _MECHANISMS),
    ):
        if value not in supported:
            raise ValueError(
                f"{file}: {name} {value} is not supported here; supported are "
                f"{', '.join(supported)}"
            )
    credentials = ("sasl_plain_username", "sasl_plain_password")
    if protocol.startswith("SASL") and any(options.get(name) is None for name in credentials):
        raise ValueError(
            f"{file}: {protocol} needs sasl.username and sasl.password, or a sasl.jaas.config "
            "with username and password"
        )
    more = {"ssl_context": _ssl_context(properties, file)} if "SSL" in protocol else {}
    return {**options, "security_protocol": protocol, **more}


def _ssl_context(properties: Mapping[str, str], file: Path) -> ssl.SSLContext:
    for name in sorted(_FILES & properties.keys()):
        if name.endswith(".location") and not Path(properties[name]).is_file():
            raise ValueError(f"{file}: {name}: there is no file {properties[name]}")
    authorities = properties.get("ssl.ca.location")
    try:
        context = ssl.create_default_context(cafile=authorities)
    except ssl.SSLError as error:
        raise ValueError(
            f"{file}: ssl.ca.location: {authorities} holds no certificates in PEM ({error})"
        ) from None
    certificate, key = properties.get("ssl.certificate.location"), "ssl.key.location"
    if certificate is None:
        if key in properties:
            raise ValueError(f"{file}: {key} needs ssl.certificate.location")
        return context
    try:
        context.load_cert_chain(
            certificate, properties.get(key), properties.get("ssl.key.password")
        )
    except ssl.SSLError as error:
        raise ValueError(
            f"{file}: ssl.certificate.location and {key}: no certificate in PEM with its private "
            f"key, or ssl.key.password is wrong ({error})"
        ) from None
    return context
