"""The report of a finished run: on the terminal, as a page, and as OTLP/JSON lines."""

from demo_pipeline.report.analysis import check_traces
from demo_pipeline.report.files import ReportNotWrittenError, write_report
from demo_pipeline.report.model import LogLine, RunResult
from demo_pipeline.report.terminal import print_summary

__all__ = [
    "LogLine",
    "ReportNotWrittenError",
    "RunResult",
    "check_traces",
    "print_summary",
    "write_report",
]
