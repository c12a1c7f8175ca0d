from dataclasses import replace
from typing import TYPE_CHECKING

from demo_pipeline.report.facts import read_spans
from demo_pipeline.report.tree import rows

if TYPE_CHECKING:
    from tests.demo_pipeline.report.recording import Recorder


def test_children_follow_their_parent_by_start(recorder: "Recorder") -> None:
    request = recorder.request(0, 9)
    late = recorder.send("orders", "late", "a", 5, 6, request)
    recorder.send("orders", "early", "a", 1, 2, request)
    recorder.process("payment", "late", "a", 7, 8, late)

    tree = rows(read_spans(recorder.spans))

    assert [(row.span.name, row.more) for row in tree] == [
        ("POST /orders", ()),
        ("send early", (True,)),
        ("send late", (False,)),
        ("process late", (False, False)),
    ]


def test_orphans_and_cycles_of_parents_are_each_shown_once(recorder: "Recorder") -> None:
    request = recorder.request(0, 9)
    sent = recorder.send("orders", "t", "a", 1, 2, request)
    recorder.process("payment", "t", "a", 3, 4, sent)
    root, child, leaf = read_spans(recorder.spans)
    ring = (
        replace(root, parent_id=child.span_id),
        child,
        replace(leaf, parent_id=12345),
    )

    assert sorted(span.name for span in ring) == sorted(row.span.name for row in rows(ring))
