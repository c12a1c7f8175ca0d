"""The report as one HTML page without external resources."""

import base64
import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import resources
from string import Template
from typing import Final

from demo_pipeline.report.analysis import Analysis
from demo_pipeline.report.catch_up_table import catch_up_section
from demo_pipeline.report.coupling_table import coupling_section
from demo_pipeline.report.lag_chart import backlog_section, lag_section
from demo_pipeline.report.model import Hop, RunResult
from demo_pipeline.report.page_data import orders_on_page, page_data
from demo_pipeline.report.page_orders import left_out_note, state_options, troubled_tile
from demo_pipeline.report.page_sections import delivery_section, message_section, saga_section
from demo_pipeline.report.queue_tables import queue_section
from demo_pipeline.report.schema_table import schema_section
from demo_pipeline.report.wording import (
    RARE_PARTS,
    counted,
    escaped,
    human,
    milliseconds,
    per_second,
    percentiles,
    shares,
)

_ASSETS: Final = resources.files("demo_pipeline.report") / "assets"
# Joined in this order: each uses the ones before it.
_STYLES: Final = ("base.css", "tables.css", "orders.css", "waterfall.css", "sequence.css")
_SCRIPTS: Final = (
    "base.js",
    "search.js",
    "span_detail.js",
    "waterfall.js",
    "sequence.js",
    "order.js",
    "list.js",
)
_NS: Final = 1_000_000_000


def render_page(result: RunResult, analysis: Analysis) -> str:
    """Render the page; everything from events and spans is escaped."""
    style = "".join(map(_asset, _STYLES))
    script = "".join(map(_asset, _SCRIPTS))
    started = datetime.fromtimestamp(result.started_unix_ns // _NS, UTC)
    return Template(_asset("report.html.tmpl")).substitute(
        # The policy allows these hashes only: injected markup could not run or load anything.
        style_hash=_hash(style),
        script_hash=_hash(script),
        style=style,
        script=script,
        scenario=escaped(result.scenario),
        started=started.isoformat(),
        started_shown=f"{started:%Y-%m-%d %H:%M:%S} UTC",
        orders=f"{len(analysis.orders):,}",
        throughput=per_second(len(analysis.orders), result.duration_s),
        duration=human(round(result.duration_s * _NS)),
        median=human(analysis.end_to_end.p50 if analysis.end_to_end else None),
        troubled=troubled_tile(analysis.orders),
        states=state_options(orders_on_page(analysis)),
        left_out=left_out_note(analysis),
        by_user=", <code>user:</code>" if result.users else "",
        verdict=_verdict(result, analysis),
        hops="".join(map(_hop, analysis.hops))
        or '<tr><td colspan="16">Nothing was processed.</td></tr>',
        queues=queue_section(analysis),
        lags=lag_section(analysis.lags),
        backlogs=backlog_section(analysis.backlogs),
        catch_ups=catch_up_section(analysis.catch_ups),
        end_to_end=_end_to_end(analysis),
        where=_where_it_went(analysis),
        messages=message_section(analysis.messages),
        couplings=coupling_section(analysis.couplings),
        schemas=schema_section(analysis.schemas),
        sagas=saga_section(analysis.sagas),
        delivery=delivery_section(analysis),
        data=page_data(analysis, result),
    )


def _verdict(result: RunResult, analysis: Analysis) -> str:
    failed = ""
    if result.problems:
        sentences = "".join(f"<li>{escaped(problem)}</li>" for problem in result.problems)
        failed = (
            '<div class="verdict bad"><span aria-hidden="true">✗</span> '
            f"The run failed<ul>{sentences}</ul></div>"
        )
    return failed + _verdict_of_traces(analysis, failed=bool(failed))


def _verdict_of_traces(analysis: Analysis, *, failed: bool) -> str:
    faults = analysis.faults
    if failed and not faults:
        # A green verdict beside a failed run would mislead.
        return ""
    if not analysis.orders:
        return '<p class="verdict">No orders were placed.</p>'
    if not faults:
        return (
            '<p class="verdict good"><span aria-hidden="true">✓</span> '
            "Every order is in exactly one complete trace.</p>"
        )
    sentences = "".join(f"<li>{escaped(fault)}</li>" for fault in faults)
    return (
        '<details class="verdict bad"><summary><span aria-hidden="true">✗</span> '
        f"{counted(len(faults), 'order')} of {len(analysis.orders):,} with a broken trace</summary>"
        f"<ul>{sentences}</ul></details>"
    )


def _hop(hop: Hop) -> str:
    errors = f"<strong>{hop.errors:,}</strong>" if hop.errors else "0"
    measured = (hop.wait, hop.processing, hop.connection, hop.retry, hop.end_to_end)
    figures = [figure for spread in measured for figure in percentiles(spread)]
    return (
        f'<tr><th scope="row">{escaped(hop.reader)} '
        f'<span class="from">← {escaped(hop.topic)}</span>'
        f"</th><td>{hop.records:,}</td>"
        f"{_cells(figures)}"
        f"<td>{hop.rejected:,}</td><td>{errors}</td></tr>"
    )


def _end_to_end(analysis: Analysis) -> str:
    spread = analysis.end_to_end
    timed = sum(order.timing is not None for order in analysis.orders)
    longest = milliseconds(spread.max if spread else None)
    return f"<tr>{_cells((f'{timed:,}', *percentiles(spread), longest))}</tr>"


def _where_it_went(analysis: Analysis) -> str:
    parts = analysis.breakdown.parts()
    percent = shares([duration for _, duration in parts])
    items = "".join(
        f'<li><span class="key {name.partition(" ")[0]}" aria-hidden="true"></span> {name} '
        f"<b>{share} %</b></li>"
        for (name, duration), share in zip(parts, percent, strict=True)
        if duration or name not in RARE_PARTS
    )
    # The script draws the bar, because the policy forbids inline styles.
    drawn = " ".join(str(duration) for _, duration in parts)
    return (
        f'<div class="share" id="where" data-parts="{drawn}" aria-hidden="true"></div>'
        f'<ul class="legend">{items}</ul>'
    )


def _cells(values: Iterable[str]) -> str:
    return "".join(f"<td>{value}</td>" for value in values)


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _hash(inline: str) -> str:
    digest = hashlib.sha256(inline.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
