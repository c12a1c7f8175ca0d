"""Apache Kafka with TLS, SASL and access control, as a managed one has."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.tracing.lag.guarded import GuardedKafka

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_STORE_PASSWORD = "changeit"  # noqa: S105 - of a broker that lives for one test
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"


class SecuredKafka(GuardedKafka):
    """One node. Its certificate is its own CA.

    Args:
        folder: Where to write its key and certificate.
        users: The passwords of users, for PLAIN.
        scram: Those of them that may use SCRAM, too.

    Attributes:
        ca: The CA's certificate.
    """

    protocol = "SASL_SSL"

    def __init__(self, folder: Path, users: Mapping[str, str], scram: tuple[str, ...]) -> None:
        super().__init__(users)
        self._store = folder / "broker.p12"
        self._format_options = tuple(
            f"--add-scram={mechanism}=[name={user},password={users[user]}]"
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            for user in scram
        )
        self._keytool(
            "-genkeypair", "-storetype", "PKCS12", "-keyalg", "EC", "-dname", "CN=broker",
            "-ext", "BC:critical=ca:true", "-ext", "KU:critical=digitalSignature,keyCertSign",
            "-ext", "SAN=ip:127.0.0.1",
        )  # fmt: skip
        self.ca = folder / "ca.pem"
        self._keytool("-exportcert", "-rfc", "-file", str(self.ca))

    def _keytool(self, *arguments: str) -> None:
        command = ["keytool", "-keystore", str(self._store), "-storepass", _STORE_PASSWORD]
        subprocess.run([*command, "-alias", "broker", *arguments], check=True, capture_output=True)

    def _guard(self) -> dict[str, object]:
        name = f"listener.name.{self.protocol.lower()}"
        return super()._guard() | {
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            f"{name}.scram-sha-256.sasl.jaas.config": f"{_SCRAM} required;",
            f"{name}.scram-sha-512.sasl.jaas.config": f"{_SCRAM} required;",
            "ssl.keystore.type": "PKCS12",
            "ssl.keystore.location": self._store,
            "ssl.keystore.password": _STORE_PASSWORD,
            "ssl.key.password": _STORE_PASSWORD,
        }
