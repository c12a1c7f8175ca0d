"""A server of dead letters, and a browser without a screen."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from html import unescape
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaProducer
from starlette.testclient import TestClient

from tracing import Provenance
from tracing.cli.failures import explained
from tracing.dlq import Connection
from tracing.dlq_web.app import application
from tracing.dlq_web.guard import Secrets
from tracing.dlq_web.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from httpx import Response

    from tests.tracing.dlq.cluster import Cluster

HOST = "127.0.0.1:8430"
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def explain(error: Exception) -> str | None:
    explanation = explained(error)
    return None if explanation is None else explanation.format_message()


class Browser:
    """A browser with a session.

    Attributes:
        client: Sends requests.
        secrets: The secrets of the server.
    """

    def __init__(self, servers: str, **options: Any) -> None:
        settings = Settings(
            connection=Connection(servers, {"request_timeout_ms": 10_000}),
            is_dead_letter_topic=lambda topic: topic.endswith(".dlq"),
            explain=explain,
        )
        self.secrets = Secrets()
        app = application(replace(settings, **options), self.secrets)
        self.client = TestClient(app, base_url=f"http://{HOST}", follow_redirects=False)
        self.client.get(self.secrets.entry)

    def get(self, path: str = "", **query: Any) -> Response:
        response: Any = self.client.get(f"{self.secrets.base}/{path}", params=query or None)
        return response  # type: ignore[no-any-return]

    def follow(self, link: str) -> Response:
        response: Any = self.client.get(link)
        return response  # type: ignore[no-any-return]

    def post(self, path: str, **fields: str | list[str]) -> Response:
        """Send a form as a page of this server does, and return the answer, or where it leads."""
        answer: Any = self.client.post(
            f"{self.secrets.base}/{path}",
            data={"form_secret": self.secrets.form, **fields},
            headers={"origin": f"http://{HOST}"},
        )
        if answer.status_code == HTTPStatus.SEE_OTHER:
            return self.follow(answer.headers["location"])
        return answer  # type: ignore[no-any-return]


def links(response: Response) -> dict[str, str]:
    """Return the addresses of a page's links by their text."""
    found = re.findall(r'<a [^>]*?href="([^"]*)"[^>]*>(.*?)</a>', response.text)
    return {unescape(text): unescape(address) for address, text in found}


def rows(response: Response) -> list[str]:
    """Return the rows of a page's tables as text, without the heads."""
    return list(_rows(response.text))


def _rows(text: str) -> Iterator[str]:
    for row in re.findall(r"<tr[^>]*>(.*?)</tr>", text, re.DOTALL):
        if "columnheader" not in row:
            yield " ".join(unescape(re.sub(r"<[^>]*>", " ", row)).split())


async def add(cluster: Cluster, number: int, **changes: Any) -> None:
    """Add dead letters to partition 1 of the payment group's topic."""
    provenance = Provenance(
        topic=cluster.topic, partition=0, offset=3, timestamp_ms=1, group="payment",
        exception="TimeoutError", message="no answer", attempts=1, first_failed_at_ms=1,
        failed_at_ms=1_700_000_000_000,
    )  # fmt: skip
    async with AIOKafkaProducer(bootstrap_servers=cluster.servers) as producer:
        for _ in range(number):
            await producer.send_and_wait(
                cluster.of_payment,
                b"secret",
                b"secret-key",
                headers=[
                    (f"x-{HOSTILE}", b"secret-header"),
                    ("ce_id", HOSTILE.encode()),
                    ("ce_source", b"/orders"),
                    ("ce_type", b"OrderPlaced"),
                    *replace(provenance, **changes).headers(),
                ],
                partition=1,
            )


def places(cluster: Cluster, *offsets: int) -> list[str]:
    return [f"{cluster.of_payment}/0/{offset}" for offset in offsets]


def values(cluster: Cluster) -> list[Any]:
    return sorted(record.value for record in asyncio.run(cluster.records()))


def plan_of(page: Response) -> str:
    """Return the path of the form that confirms a dry run."""
    found = re.search(r'action="/[^/"]+/(replay/[^/"]+/send)"', page.text)
    assert found is not None, page.text
    return found[1]
