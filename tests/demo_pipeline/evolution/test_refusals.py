"""Each kind of incompatible change is refused, with the field, the reason and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from demo_pipeline.evolution.modes import Mode
from demo_pipeline.evolution.resolution import Kind
from tests.demo_pipeline.evolution.change_table import ACCEPTED, REFUSED, Refusal, field

if TYPE_CHECKING:
    from tests.demo_pipeline.evolution.shop import Shop


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_an_incompatible_change_is_refused_with_field_reason_and_fix(
    shop: Shop, case: Refusal
) -> None:
    shop.released(field("id", "string"), *case.before)
    shop.edit(field("id", "string"), *case.after)

    expected = {
        "schema": "OrderPlaced", "verdict": "incompatible", "field": case.field,
        "rule": case.rule, "against": ["version 1"], "reason": case.reason, "fix": case.fix,
    }  # fmt: skip
    assert expected in shop.findings()


def test_every_kind_of_change_is_in_the_table() -> None:
    assert set(Kind) == {case.rule.partition(" ")[0] for case in REFUSED}


@pytest.mark.parametrize(("before", "after"), ACCEPTED)
def test_a_compatible_change_is_accepted(shop: Shop, before: list[Any], after: list[Any]) -> None:
    shop.released(field("id", "string"), *before)
    shop.edit(field("id", "string"), *after)

    assert {"unregistered"} >= {finding["verdict"] for finding in shop.findings()}
    assert 0 == shop.run("register")[0]
    assert [] == shop.findings()


@pytest.mark.parametrize(
    ("mode", "accepted"),
    [
        (Mode.BACKWARD, True), (Mode.BACKWARD_TRANSITIVE, True), (Mode.FORWARD, False),
        (Mode.FORWARD_TRANSITIVE, False), (Mode.FULL, False), (Mode.FULL_TRANSITIVE, False),
        (Mode.NONE, True),
    ],
)  # fmt: skip
def test_a_promotion_is_accepted_where_only_new_readers_count(
    shop: Shop, mode: Mode, accepted: bool
) -> None:
    shop.released(field("n", "int"))
    shop.edit(field("n", "long"))

    verdicts = [finding["verdict"] for finding in shop.findings("--mode", mode)]
    assert (["unregistered"] if accepted else ["incompatible"]) == verdicts


def test_only_transitive_modes_look_at_versions_before_the_newest(shop: Shop) -> None:
    shop.released(field("id", "string"))
    shop.released(field("id", "string"), field("n", "int", default=1))
    shop.edit(field("id", "string"), field("n", "int"))

    assert ["unregistered"] == [each["verdict"] for each in shop.findings("--mode", "FULL")]
    (finding,) = shop.findings("--mode", "FULL_TRANSITIVE")
    assert (["version 1"], "n") == (finding["against"], finding["field"])


def test_a_problem_with_several_versions_is_reported_once(shop: Shop) -> None:
    shop.released(field("id", "string"))
    shop.released(field("id", "string"), field("m", "int", default=1))
    shop.edit(field("id", "string"), field("n", "int"))

    (finding,) = shop.findings()
    assert ["version 1", "version 2"] == finding["against"]
    assert finding["reason"].endswith("so records of version 1 and version 2 cannot be read")
