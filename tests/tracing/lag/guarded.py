"""Apache Kafka with authentication and access control."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DescribeAclsRequest

from demo_pipeline.broker import KafkaCluster

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
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
    """One node. Anonymous clients may do everything; users need grants.

    Args:
        users: The passwords of users, for the mechanism PLAIN; by default of the watcher.
    """

    protocol = "SASL_PLAINTEXT"

    def __init__(self, users: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._users = {USER: PASSWORD} if users is None else dict(users)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._guarded_port = probe.getsockname()[1]

    @property
    def guarded_servers(self) -> str:
        """Address for users."""
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
        await self.grant_all([(USER, kind, name, operation)])

    async def grant_all(self, grants: Iterable[tuple[str, int, str, int]]) -> None:
        """Allow users operations on resources, and wait until the broker applies that."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        await admin.start()
        try:
            for user, kind, name, operation in grants:
                grant = (kind, name, _LITERAL, f"User:{user}", "*", operation, _ALLOW)
                answer: Any = await admin._send_request(CreateAclsRequest(*grant))
                assert [0] == [code for code, _ in answer.creation_responses]
                applied: Any = None
                while applied is None or not applied.resources:
                    applied = await admin._send_request(DescribeAclsRequest(*grant))
        finally:
            await admin.close()

    def _properties(self, node: int) -> str:
        listener = f"{self.protocol}://{self.guarded_servers}"
        lines = [
            f"{line},{listener}"
            if line.startswith(("listeners=", "advertised.listeners="))
            else line
            for line in super()._properties(node).splitlines()
        ]
        lines += [f"{name}={value}" for name, value in self._guard().items()]
        return "".join(f"{line}\n" for line in lines)

    def _guard(self) -> dict[str, object]:
        """Return the settings of the users' listener and of access control."""
        module = "org.apache.kafka.common.security.plain.PlainLoginModule"
        users = " ".join(f'user_{name}="{password}"' for name, password in self._users.items())
        name = f"listener.name.{self.protocol.lower()}"
        own = f"{self.protocol}:{self.protocol}"
        return {
            "listener.security.protocol.map": f"PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,{own}",
            "sasl.enabled.mechanisms": "PLAIN",
            f"{name}.plain.sasl.jaas.config": f"{module} required {users};",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }
