"""The check of the OTLP endpoint in the environment, before any export.

The exporters accept any text, and would fail at each export, in a thread and with many log lines.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCHEMES: Final[Mapping[str, frozenset[str]]] = {
    "http/protobuf": frozenset({"http", "https"}),
    # gRPC also accepts an address without a scheme, and the schemes of its own resolvers.
    "grpc": frozenset({"http", "https", "dns", "unix", "ipv4", "ipv6"}),
}
_BARE: Final = re.compile(r"(?!https?:|[a-z0-9]+:/)[^\s/]+", re.IGNORECASE)


def check_endpoint(signal: str, protocol: str) -> None:
    """Check the endpoint of a signal. Without one in the environment the default applies.

    Args:
        signal: `traces`, `metrics` or `logs`.
        protocol: `http/protobuf` or `grpc`.

    Raises:
        ValueError: It is no address. The message names the variable but never its value, which
            may hold a password.
    """
    for name in (
        f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ):
        endpoint = os.environ.get(name, "")
        if endpoint:
            _check(name, endpoint.strip(), protocol)
            return


def _check(name: str, endpoint: str, protocol: str) -> None:
    bare = protocol == "grpc" and _BARE.fullmatch(endpoint) is not None
    try:
        address = urlsplit(f"//{endpoint}" if bare else endpoint)
        port = address.port
    except ValueError as error:
        raise ValueError(f"{name} is no address: {_without_text(error)}") from None
    if port == 0:
        raise ValueError(f"{name} is no address: there is no port 0")
    schemes = _SCHEMES[protocol]
    if not bare and (
        address.scheme not in schemes
        or (address.scheme in {"http", "https"} and not address.hostname)
    ):
        raise ValueError(
            f"{name} is no address: it has to be like http://localhost:4318, with http:// or "
            "https:// and a host"
        )


def _without_text(error: ValueError) -> str:
    """Return what is wrong with an address, without the part that the parser repeats."""
    return "its port has to be a number up to 65535" if "ort" in str(error) else "it cannot be read"
