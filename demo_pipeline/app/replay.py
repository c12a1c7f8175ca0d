"""Rebuild a read model of analytics from the log, beside a running service or after a run."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiokafka.errors import KafkaError
from sqlalchemy.exc import SQLAlchemyError

from demo_pipeline.app.recording import exporting_providers
from demo_pipeline.broker import wait_until_reachable
from demo_pipeline.domain.codec import Codec
from demo_pipeline.domain.topics import PIPELINE
from demo_pipeline.runtime.database import database_url, existing_database, open_database
from demo_pipeline.runtime.errors import DemoError
from demo_pipeline.runtime.registry import open_schemas
from demo_pipeline.services import analytics
from demo_pipeline.services.read_models import PROJECTIONS, READ_MODELS
from tracing import UnknownSchema
from tracing.replay import MostLeftOutError, ReplayError, kafka_source, replay
from tracing.sql import SqlReplayStore

if TYPE_CHECKING:
    from pathlib import Path

    from tracing.replay import ProgressCallback, ReplayOptions, ReplayProgress

SERVICE: Final = "analytics-replay"
"""The `service.name` of a replay: it is not analytics, which may run beside it."""
_REGISTRY: Final = ". Is SCHEMA_REGISTRY_URL the one of the service?"
_UNKNOWN: Final = (
    f"{_REGISTRY} If no registry has the schema any longer, --leave-out-unknown leaves such events "
    "out"
)


@dataclass(frozen=True, slots=True)
class ReplayCommand:
    """What to replay.

    Attributes:
        read_model: The name of the read model.
        bootstrap_servers: The cluster.
        databases: The folder of the database, unless a URL names another one.
        options: From where to where, and how.
    """

    read_model: str
    bootstrap_servers: str
    databases: Path
    options: ReplayOptions


async def run_replay(command: ReplayCommand, progress: ProgressCallback) -> ReplayProgress:
    """Replay once.

    Args:
        command: What to replay.
        progress: Receives the progress after every batch.

    Raises:
        UsageError: There is no such database, or the environment names no usable registry.
        DemoError: The replay cannot begin or go on; the message says why.
        BrokerError: The cluster does not answer.
    """
    name = analytics.SERVICE.name
    url = database_url(name, command.databases)
    # Only to refuse a wrong folder: a database is created by its service.
    async with existing_database(name, url):
        pass
    async with AsyncExitStack() as stack:
        schemas = await stack.enter_async_context(open_schemas())
        await wait_until_reachable(command.bootstrap_servers)
        providers = exporting_providers(SERVICE)
        # In a thread: a slow OTLP endpoint must not hold the loop up.
        stack.push_async_callback(asyncio.to_thread, providers.shutdown)
        telemetry = providers.telemetry(PIPELINE, source=f"/{SERVICE}")
        codec = Codec(schemas, telemetry=telemetry)
        # New read models become active when they are built: the service may have run before.
        database = await stack.enter_async_context(open_database(analytics.SERVICE, url, late=True))
        source = await stack.enter_async_context(
            kafka_source(bootstrap_servers=command.bootstrap_servers, fetch_max_wait_ms=30)
        )
        store = SqlReplayStore(database, READ_MODELS, PROJECTIONS[command.read_model])
        try:
            return await replay(source, store, codec.decode, telemetry, command.options, progress)
        except ReplayError as error:
            hint = _UNKNOWN if isinstance(error.__cause__, UnknownSchema) else ""
            if isinstance(error, MostLeftOutError):
                hint = _REGISTRY
            raise DemoError(f"{error}{hint}") from error
        except (LookupError, TimeoutError) as error:
            raise DemoError(str(error)) from error
        except KafkaError as error:
            raise DemoError(
                f"the cluster refuses or no longer answers ({type(error).__name__}): what is done "
                "is kept, and the same command resumes there"
            ) from error
        except (SQLAlchemyError, OSError) as error:
            raise DemoError(
                f"the database of {name} no longer answers ({type(error).__name__}): what is done "
                "is kept, and the same command resumes there"
            ) from error
