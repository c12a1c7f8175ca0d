"""How the page shows sagas and their steps."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from demo_pipeline.report import RunResult
from tests.demo_pipeline.report.saga_recording import completed_order, saga, step
from tests.demo_pipeline.report.showing import page

if TYPE_CHECKING:
    from tests.demo_pipeline.report.recording import Recorder

NASTY = "<script>alert(1)</script>\"'&\x1b[31m\udcff"


def test_the_page_has_the_same_figures_in_tables(mixed_sagas: RunResult, tmp_path: Path) -> None:
    shown = page(mixed_sagas, tmp_path)

    assert "place-order1,2041,200112280.0120120" in shown.text
    assert "place-orderreserve-inventory2--20.030.0charge-card2--30.030.0" in shown.text
    assert "refund-card compensation1--20.020.0" in shown.text
    assert "release-inventory compensation--120.020.0" in shown.text


def test_the_pages_tables_are_named_captioned_and_scrollable(
    mixed_sagas: RunResult, tmp_path: Path
) -> None:
    elements = page(mixed_sagas, tmp_path).elements

    regions = [attributes for _, attributes in elements if attributes.get("role") == "group"]
    ours = [each for each in regions if each.get("aria-labelledby") == "sagas-title"]
    assert [each.get("tabindex") for each in ours] == ["0", "0"]
    tags = [tag for tag, _ in elements]
    assert tags.count("caption") == tags.count("table")
    scopes = [attributes.get("scope") for tag, attributes in elements if tag == "th"]
    assert None not in scopes
    assert scopes.count("rowgroup") == 1


def test_the_pages_script_gets_roles_and_marks(mixed_sagas: RunResult, tmp_path: Path) -> None:
    data = page(replace(mixed_sagas, order_ids=("undone",)), tmp_path).data

    ((_, spans),) = data["traces"]
    drawn = [tuple(data["texts"][span[place]] for place in (0, 2, 8)) for span in spans]
    assert drawn[-6:] == [
        ("saga place-order", "saga", "overdue"),
        ("saga.step place-order/reserve-inventory", "saga.step", ""),
        ("saga.step place-order/charge-card", "saga.step", ""),
        ("saga.step place-order/ship-order", "saga.step", ""),
        ("saga.step place-order/refund-card", "saga.step", "compensation"),
        ("saga.step place-order/release-inventory", "saga.step", "error"),
    ]


def test_the_page_has_a_pattern_and_an_explanation_for_each_role(
    mixed_sagas: RunResult, tmp_path: Path
) -> None:
    shown = page(mixed_sagas, tmp_path)

    (style,), script = shown.raw["style"], shown.raw["script"][1]
    for role, name, meaning in (("saga", "whole", "saga"), ("saga.step", "step", "saga step")):
        assert f'["{name}", "{meaning}", "{role}"]' in script
        assert f"\n.{name} {{ background:" in style
    assert 'saga: "whole", "saga.step": "step"' in script


def test_nothing_about_sagas_becomes_markup(recorder: "Recorder", tmp_path: Path) -> None:
    completed_order(recorder, "a")
    harmless = page(recorder.result("a"), tmp_path / "1")
    whole = saga(recorder, NASTY, 0, 9, name=NASTY)
    step(recorder, whole, NASTY, NASTY, 1, 2, name=NASTY)

    shown = page(recorder.result("a"), tmp_path / "2")

    assert [tag for tag, _ in shown.elements].count("script") == (
        [tag for tag, _ in harmless.elements].count("script")
    )
    assert shown.text.count("<script>alert(1)</script>\"'&") == 3
