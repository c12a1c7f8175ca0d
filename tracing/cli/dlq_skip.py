"""The command `dlq skip`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracing.cli.options import (
    connecting,
    connection_of,
    dry_run_option,
    json_option,
    naming,
    yes_option,
)
from tracing.cli.terminal import confirm
from tracing.core.text import counted, printable
from tracing.core.times import iso_time

if TYPE_CHECKING:
    from tracing.delivery.dead_letter_names import DeadLetterNames
    from tracing.dlq.skipping import Skip
    from tracing.kafka.raw_records import RawRecord


@click.command("skip")
@connecting
@click.option("--group", required=True, help="The consumer group; stop its members first.")
@click.option("--topic", required=True, help="The topic.")
@click.option("--partition", required=True, type=click.IntRange(min=0), help="The partition.")
@click.option(
    "--offset",
    required=True,
    type=click.IntRange(min=0),
    help="The offset of the group's next record.",
)
@click.option("--batch", "whole_batch", is_flag=True, help="Also skip the rest of its batch.")
@click.option(
    "--save",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="File to keep the record in; by default ./TOPIC-PARTITION-OFFSET.json.",
)
@click.option(
    "--to-dead-letters", is_flag=True, help="Keep it in the dead-letter topic instead of a file."
)
@naming
@dry_run_option
@yes_option
@json_option
def skip_command(
    *,
    group: str,
    topic: str,
    partition: int,
    offset: int,
    whole_batch: bool,
    file: Path | None,
    to_dead_letters: bool,
    names: DeadLetterNames,
    suffix: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    timeout: float,
    **options: Any,
) -> None:
    """Move a stopped group past its next record, and keep that record.

    Use it for a record that the group's clients cannot read. When the group is started again, it
    continues after that record.
    """
    from aiokafka.structs import TopicPartition

    from tracing.dlq.skipping import bury, save, skip_to, skippable

    del suffix  # Not needed: this command does not search for dead-letter topics.
    if to_dead_letters and file is not None:
        raise click.UsageError("--save and --to-dead-letters exclude each other")
    connection = connection_of(options, timeout)
    tp = TopicPartition(topic, partition)

    async def look() -> Skip:
        return await skippable(
            connection, group, tp, offset, whole_batch=whole_batch, timeout_s=timeout
        )

    skip = asyncio.run(look())
    kept_in = str(file or Path(f"{topic}-{partition}-{offset}.json"))
    if to_dead_letters:
        kept_in = names.of(topic, group)
    if not as_json:
        _print(skip)
    if not dry_run:
        confirm(f"Skip {counted(len(skip.records), 'record')}, to be kept in {kept_in}?", yes=yes)
        if to_dead_letters:
            asyncio.run(bury(connection, skip, dead_letter_topic=names.template))
        else:
            save(skip, Path(kept_in))
        asyncio.run(skip_to(connection, skip))
    if as_json:
        document = {
            "dry_run": dry_run,
            "group": group,
            "topic": topic,
            "partition": partition,
            "committed": skip.committed,
            "next_offset": skip.next_offset,
            "behind_in_batch": skip.behind,
            "kept_in": None if dry_run else kept_in,
            "records": [_described(record) for record in skip.records],
        }
        click.echo(json.dumps(document, indent=2))
    elif dry_run:
        click.echo("nothing was skipped: this was a dry run")
    else:
        click.echo(f"kept in {printable(kept_in)}; group {printable(group)} continues at "
                   f"{skip.next_offset}")  # fmt: skip


def _described(record: RawRecord) -> dict[str, Any]:
    return {
        "offset": record.offset,
        "next_offset": record.next_offset,
        "timestamp": iso_time(record.timestamp_ms),
        "problem": record.problem,
        "key_bytes": None if record.key is None else len(record.key),
        "value_bytes": None if record.value is None else len(record.value),
        "headers": sorted({name for name, _ in record.headers}),
    }


def _print(skip: Skip) -> None:
    partition = f"{skip.tp.topic}[{skip.tp.partition}]"
    for record in skip.records:
        why = f"cannot be read: {record.problem}" if record.problem else "can be read"
        end = record.next_offset - 1
        upto = f" to {end}" if end > record.offset else ""
        size = "no value" if record.value is None else counted(len(record.value), "byte")
        at = iso_time(record.timestamp_ms)
        line = f"{partition} offset {record.offset}{upto} {why} ({at}, {size})"
        click.echo(printable(line))
    if skip.behind and any(record.problem for record in skip.records):
        click.echo(
            f"{counted(skip.behind, 'record follows', 'records follow')} in its batch. aiokafka "
            "can read the rest of a batch only with consume(on_unreadable=...); --batch skips and "
            "keeps it as well"
        )
