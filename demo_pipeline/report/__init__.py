"""The report of a finished run: on the terminal, as a page, and as OTLP/JSON lines."""

from demo_pipeline.report.analysis import check_traces
from demo_pipeline.report.files import ReportNotWrittenError
from demo_pipeline.report.model import RunResult
from demo_pipeline.report.terminal import print_summary
from demo_pipeline.report.writing import write_report

__all__ = [
    "ReportNotWrittenError",
    "RunResult",
    "check_traces",
    "print_summary",
    "write_report",
]
