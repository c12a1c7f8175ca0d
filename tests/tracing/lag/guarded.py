"""Apache Kafka with authentication and access control."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest

from demo_pipeline.broker import KafkaCluster

if TYPE_CHECKING:
    from pathlib import Path

USER: Final = "watcher"
PASSWORD: Final = "watching"  # noqa: S105 - of a broker that lives for one test

TOPIC: Final = 2
GROUP: Final = 3
CLUSTER: Final = 4
READ: Final = 3
DESCRIBE: Final = 8
DESCRIBE_CONFIGS: Final = 10
_LITERAL: Final = 3
_ALLOW: Final = 3


class GuardedKafka(KafkaCluster):
    """One node. Anonymous clients may do everything; the watcher needs grants."""

    def __init__(self) -> None:
        super().__init__()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._guarded_port = probe.getsockname()[1]

    @property
    def guarded_servers(self) -> str:
        """Address for the watcher."""
        return f"127.0.0.1:{self._guarded_port}"

    def command_config(self, folder: Path) -> Path:
        """Write a properties file with the watcher's credentials."""
        file = folder / "watcher.properties"
        file.write_text(
            "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\n"
            f"sasl.username={USER}\nsasl.password={PASSWORD}\n"
        )
        return file

    async def grant(self, kind: int, name: str, operation: int) -> None:
        """Allow the watcher an operation."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        await admin.start()
        try:
            answer: Any = await admin._send_request(
                CreateAclsRequest(kind, name, _LITERAL, f"User:{USER}", "*", operation, _ALLOW)
            )
        finally:
            await admin.close()
        assert [0] == [code for code, _ in answer.creation_responses]

    def _properties(self, node: int) -> str:
        listener = f"SASL_PLAINTEXT://{self.guarded_servers}"
        protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT"
        module = "org.apache.kafka.common.security.plain.PlainLoginModule"
        login = f'{module} required user_{USER}="{PASSWORD}";'
        lines = [
            f"{line},{listener}"
            if line.startswith(("listeners=", "advertised.listeners="))
            else line
            for line in super()._properties(node).splitlines()
        ]
        lines += [
            f"listener.security.protocol.map={protocols}",
            "sasl.enabled.mechanisms=PLAIN",
            f"listener.name.sasl_plaintext.plain.sasl.jaas.config={login}",
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users=User:ANONYMOUS",
        ]
        return "".join(f"{line}\n" for line in lines)
