"""Writing the report folder."""

from pathlib import Path

from demo_pipeline.report.analysis import analyse
from demo_pipeline.report.files import write_files
from demo_pipeline.report.model import RunResult
from demo_pipeline.report.otlp_json import metric_lines, trace_lines
from demo_pipeline.report.page import render_page


def write_report(result: RunResult, directory: Path) -> tuple[Path, ...]:
    """Write `report.html`, `traces.jsonl` and `metrics.jsonl`, and return their paths.

    The folder is made where it is missing; files of an earlier report are replaced.

    Raises:
        ReportNotWrittenError: the folder cannot be written; an `OSError`.
    """
    return write_files(
        directory,
        {
            "report.html": (render_page(result, analyse(result)),),
            "traces.jsonl": trace_lines(result.spans),
            "metrics.jsonl": metric_lines(result.metrics),
        },
    )
