import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics.export import MetricsData

from demo_pipeline.report import ReportNotWrittenError, write_report

if TYPE_CHECKING:
    from tests.demo_pipeline.report.recording import Recorder


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_folder_is_made_and_its_files_are_named(recorder: "Recorder", tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "report"

    paths = write_report(recorder.result(), directory)

    assert tuple(path.name for path in paths) == ("report.html", "traces.jsonl", "metrics.jsonl")
    assert set(paths) == set(directory.iterdir())


def test_a_second_report_replaces_the_first(recorder: "Recorder", tmp_path: Path) -> None:
    recorder.order("a")
    write_report(recorder.result("a"), tmp_path)

    write_report(replace(recorder.result(), spans=()), tmp_path)

    assert lines(tmp_path / "traces.jsonl") == []


def test_every_trace_is_a_line_of_otlp(recorder: "Recorder", tmp_path: Path) -> None:
    request = recorder.order("a", 100)
    recorder.order("b", 0)

    write_report(recorder.result("a", "b"), tmp_path)

    first, second = lines(tmp_path / "traces.jsonl")
    spans = [
        (resource["resource"], span)
        for resource in second["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    assert ["resourceSpans"] == list(first) == list(second)
    assert {f"{request.get_span_context().trace_id:032x}"} == {s["traceId"] for _, s in spans}
    assert all(re.fullmatch("[0-9a-f]{16}", span["spanId"]) for _, span in spans)
    resource, server = next((r, s) for r, s in spans if s["name"] == "POST /orders")
    assert resource["attributes"] == [{"key": "service.name", "value": {"stringValue": "orders"}}]
    assert (server["kind"], server["startTimeUnixNano"]) == (2, "1790000000100000000")
    assert not server.get("parentSpanId")
    sent = next(span for _, span in spans if span["name"] == "send orders.events")
    assert (4, server["spanId"]) == (sent["kind"], sent["parentSpanId"])
    processed = next(span for _, span in spans if span["name"] == "process orders.events")
    attributes = {each["key"]: each["value"] for each in processed["attributes"]}
    assert attributes["kafka.offset"] == {"intValue": "7"}
    assert attributes["pipeline.wait.duration"] == {"doubleValue": 0.009}


def test_equal_runs_give_equal_files(
    recorder: "Recorder", tmp_path: Path, collect_metrics: Callable[[str], MetricsData]
) -> None:
    for number in range(5):
        recorder.order(f"o{number}", number)
    metrics = (collect_metrics("payment"), collect_metrics("inventory"))
    result = recorder.result("o1", "o2", metrics=metrics)
    again = replace(result, spans=result.spans[::-1], metrics=metrics[::-1])

    one = [path.read_bytes() for path in write_report(result, tmp_path / "1")]
    two = [path.read_bytes() for path in write_report(again, tmp_path / "2")]

    assert one == two


def test_every_service_is_a_line_of_metrics(
    recorder: "Recorder", tmp_path: Path, collect_metrics: Callable[[str], MetricsData]
) -> None:
    metrics = (
        collect_metrics("payment"),
        MetricsData(resource_metrics=[]),
        collect_metrics("inventory"),
    )

    write_report(recorder.result(metrics=metrics), tmp_path)

    exported = lines(tmp_path / "metrics.jsonl")
    names = [
        line["resourceMetrics"][0]["resource"]["attributes"][0]["value"]["stringValue"]
        for line in exported
    ]
    assert names == ["inventory", "payment"]
    sent, timed = exported[0]["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    assert (
        sent["name"],
        sent["sum"]["aggregationTemporality"],
        sent["sum"]["isMonotonic"],
    ) == ("messaging.client.sent.messages", 2, True)
    assert [
        (point["attributes"][0]["value"]["stringValue"], point["asInt"])
        for point in sent["sum"]["dataPoints"]
    ] == [("a", "0"), ("b", "2")]
    (point,) = timed["histogram"]["dataPoints"]
    assert (point["count"], point["sum"]) == ("1", 0.25)
    assert sum(map(int, point["bucketCounts"])) == 1


def test_a_file_in_place_of_the_folder_is_explained(recorder: "Recorder", tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")

    with pytest.raises(OSError, match=r"cannot write the report to .*taken: it is a file") as error:
        write_report(recorder.result(), taken)

    assert error.type is ReportNotWrittenError
    assert "\n" not in str(error.value)
    with pytest.raises(
        ReportNotWrittenError, match=r"taken/below: Not a directory; choose a writable folder"
    ):
        write_report(recorder.result(), taken / "below")


def test_no_file_appears_when_one_cannot_be_written(recorder: "Recorder", tmp_path: Path) -> None:
    (tmp_path / "traces.jsonl").mkdir()

    with pytest.raises(ReportNotWrittenError, match=r"traces\.jsonl in it is a folder"):
        write_report(recorder.result(), tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["traces.jsonl"]
