from __future__ import annotations

import json
from dataclasses import replace

import pytest

from benchmarks.overhead.figures import (
    Spread,
    added,
    ratio,
    result_of,
    shares,
    spread,
    throughput,
    total,
)
from benchmarks.overhead.flat_path import FlatPath
from benchmarks.overhead.measure import Cost, Phase, cost_from
from benchmarks.overhead.rows import ROWS, Row, Variant, Work, chosen
from benchmarks.overhead.serialized import document_of
from benchmarks.overhead.table import tables
from benchmarks.overhead.turns import Costs, compare, order_of, variants_of

ROW = Row(name="encoded", title="all sampled, OTLP encoded", goal=0.12, flat_off=True)
OURS, OFFICIAL = ROW.variant("ours"), ROW.variant("official")


def cost(cpu_us: float, *, rate: float = 1000.0, flat: FlatPath | None = None) -> Cost:
    """Make a cost that is the same for sending and receiving, with half of the whole for each."""
    phase = Phase(cpu_us=cpu_us / 2, rate=rate)
    return Cost(phases={"send": phase, "receive": phase}, flat=flat)


def costs(
    bare: list[float], ours: list[float], official: list[float], flat_off: list[float]
) -> Costs:
    return {
        OURS.bare: [cost(us, rate=1000) for us in bare],
        OURS: [cost(us, rate=600) for us in ours],
        OFFICIAL: [cost(us, rate=200) for us in official],
        ROW.variant("ours", flat=False): [cost(us) for us in flat_off],
    }


MEASURED = costs([10, 20, 10], [20, 32, 18], [110, 140, 90], [50, 60, 50])


def test_a_ratio_compares_within_each_round() -> None:
    # 10/100, 12/120 and 8/80: the machine was slower in the second round, the ratio is the same.
    assert Spread(median=0.1, low=0.1, high=0.1, rounds=3) == ratio(MEASURED, OURS, OFFICIAL)


def test_the_spread_of_a_ratio_has_its_quartiles() -> None:
    measured = costs([0] * 5, [1, 2, 3, 4, 50], [10] * 5, [0] * 5)

    expected = Spread(median=0.3, low=0.2, high=0.4, rounds=5)
    assert expected == ratio(measured, OURS, OFFICIAL)


def test_a_round_in_which_the_other_added_nothing_has_no_ratio() -> None:
    measured = costs([10, 10, 10], [20, 20, 30], [110, 10, 110], [50, 50, 50])

    found = ratio(measured, OURS, OFFICIAL)

    assert found is not None
    assert found.rounds == 2
    assert found.median == pytest.approx(0.15)
    assert ratio(costs([10], [20], [9], [50]), OURS, OFFICIAL) is None


def test_what_is_added_is_the_difference_to_the_bare_client_of_the_same_round() -> None:
    assert [10, 12, 8] == added(MEASURED, OURS)


def test_throughput_is_a_share_of_the_bare_clients() -> None:
    share = throughput(MEASURED, OURS)

    assert share is not None
    assert share.median == pytest.approx(0.6)


def test_few_rounds_have_their_extremes_instead_of_quartiles() -> None:
    assert Spread(median=1.5, low=1, high=2, rounds=2) == spread([2, 1])
    assert spread([]) is None


def test_a_goal_is_held_by_the_ratio_that_is_shown() -> None:
    result = result_of(ROW, MEASURED)

    assert result.held is True
    assert replace(result, row=replace(ROW, goal=0.09)).held is False
    assert replace(result, row=replace(ROW, goal=None)).held is None
    assert replace(result, row=replace(ROW, goal=0.1)).held is True


def test_a_result_has_the_flat_path_off_beside_it() -> None:
    result = result_of(ROW, MEASURED)

    assert (10, 40) == (
        result.ours_us and result.ours_us.median,
        result.flat_off_us and result.flat_off_us.median,
    )


def test_numbers_of_messages_add_up_over_rounds() -> None:
    first = FlatPath(taken={"send": 3}, fallbacks={"headers": 1})
    second = FlatPath(taken={"send": 4, "process": 1}, fallbacks={"headers": 1})

    both = total([first, None, second])

    assert FlatPath(taken={"send": 7, "process": 1}, fallbacks={"headers": 2}) == both
    assert both is not None
    assert both.share == pytest.approx(0.8)
    assert total([None]) is None


def test_the_parts_of_the_cost_add_up_to_the_whole() -> None:
    rows = chosen(["sampled", "unsampled", "no-metrics"])
    spent = {"sampled": 40.0, "unsampled": 25.0, "no-metrics": 30.0}
    measured: Costs = {}
    for row in rows:
        ours = row.variant("ours")
        measured |= {
            ours.bare: [cost(0)],
            ours: [cost(spent[row.name])],
            row.variant("official"): [cost(100)],
        }

    parts = shares([result_of(row, measured) for row in rows])

    assert {
        "spans": {"send": 7.5, "receive": 7.5},
        "metrics": {"send": 5, "receive": 5},
        "context and headers": {"send": 7.5, "receive": 7.5},
    } == parts
    assert {} == shares([result_of(ROW, MEASURED)])


def test_rows_share_the_bare_client_and_variants_are_measured_once() -> None:
    rows = chosen(["sampled", "encoded", "unsampled", "batch-16k"])
    variants = variants_of(rows)

    assert len(variants) == len(set(variants))
    assert 1 == sum(variant.instrumentation == "none" for variant in variants)


def test_the_bare_client_of_every_row_does_the_same_work() -> None:
    for row in ROWS:
        ours, bare = row.variant("ours"), row.variant("ours").bare
        assert replace(ours.work, attributes=False) == bare.work
        assert row.variant("official").bare == bare


def test_other_clients_are_compared_with_their_own_bare_client() -> None:
    variants = variants_of(chosen(["encoded"]), ["faststream"])

    assert Variant(client="faststream") in variants
    assert Variant(client="faststream", instrumentation="official", encoded=True) in variants


def test_every_other_round_runs_backwards() -> None:
    variants = variants_of(chosen(["encoded"]))

    assert variants == order_of(variants, 0)
    assert list(reversed(variants)) == order_of(variants, 1)


def test_rows_are_chosen_by_name() -> None:
    assert ROWS == chosen([])
    assert ["encoded", "consume"] == [row.name for row in chosen(["consume", "encoded"])]
    with pytest.raises(ValueError, match="no such row: encodde; the rows are sampled, encoded"):
        chosen(["encodde"])


def test_tables_have_a_line_for_each_comparison() -> None:
    text = tables([result_of(ROW, MEASURED)])

    line = next(line for line in text.splitlines() if line.startswith(ROW.title))
    assert "all sampled, OTLP encoded 10.0 10.0 official 100.0 0.10 0.10-0.10 0.12 held" == (
        " ".join(line.split())
    )


def test_the_document_is_json_with_the_machine_and_all_rows() -> None:
    document = document_of({"machine": {"cores": 2}}, [result_of(ROW, MEASURED)])

    read = json.loads(json.dumps(document))
    row = read["rows"]["encoded"]
    assert {"cores": 2} == read["machine"]
    assert (True, 0.1) == (row["held"], row["compared"]["official"]["ratio"]["median"])


@pytest.mark.integration
@pytest.mark.parametrize(
    "work",
    [
        Work(attributes=True, reading="process"),
        Work(forwards=True),
        Work(headers=True, reading="consume"),
        Work(reading="batch"),
    ],
)
async def test_every_kind_of_work_runs_with_both_instrumentations(work: Work) -> None:
    row = Row(name="each", title="each", work=work)
    seen: list[str] = []

    measured = await compare(
        variants_of([row]), messages=20, rounds=1, cpus=None, report=seen.append
    )

    assert 3 == len(seen)
    for (found,) in measured.values():
        assert (["forward"] if work.forwards else ["send", "receive"]) == list(found.phases)
        assert found.cpu_us > 0


def test_a_cost_survives_the_way_through_json() -> None:
    measured = cost(10, flat=FlatPath(taken={"send": 1}, fallbacks={}))

    document = {
        "phases": {"send": {"cpu_us": 5, "rate": 1000}, "receive": {"cpu_us": 5, "rate": 1000}},
        "flat": {"taken": {"send": 1}, "fallbacks": {}},
    }
    assert measured == cost_from(document)
    assert measured.cpu_us == 10
    assert measured.rate == pytest.approx(500)
