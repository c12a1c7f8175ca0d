"""The commands of `python -m demo_pipeline`, none of which is imported before it runs."""

from __future__ import annotations

import click

from tracing.cli.groups import LazyGroup, version_option


@click.group(cls=LazyGroup, explain="demo_pipeline.app.failures:explained")
@version_option
def cli() -> None:
    """A shop of eight services that shows what pipeline-tracing records."""


cli.add_lazy(
    "run",
    "demo_pipeline.app.run_cli:run_command",
    "Run all services, place orders, and show where their time went.",
)
cli.add_lazy(
    "serve",
    "demo_pipeline.app.serve_cli:serve_command",
    "Run one SERVICE until Ctrl-C or SIGTERM.",
)
cli.add_lazy(
    "replay",
    "demo_pipeline.app.replay_cli:replay_command",
    "Rebuild a read model of analytics from the log.",
)
cli.add_lazy(
    "saga",
    "demo_pipeline.app.saga_cli:saga_group",
    "List sagas, or show one in detail.",
)
cli.add_lazy(
    "stock",
    "demo_pipeline.app.stock_cli:stock_group",
    "Show the stock of products, now or earlier, or check its log.",
)
cli.add_lazy(
    "schemas",
    "demo_pipeline.app.schemas_cli:schemas_group",
    "Check, compare and register the Avro schemas of the messages.",
)
