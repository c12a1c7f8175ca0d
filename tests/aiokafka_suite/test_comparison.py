"""The runner of aiokafka's tests compares outcomes and refuses unusable paths."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.aiokafka_suite.__main__ import main
from tests.aiokafka_suite.checkout import PACKAGE, UnusablePathError, copy_tests
from tests.aiokafka_suite.comparison import (
    FORMS,
    Difference,
    Run,
    differences,
    find_problems,
    is_steady,
    read_run,
)
from tests.aiokafka_suite.selection import EXPECTED, MODULES, SKIPPED

BARE = Run("bare", {"one": "passed", "two": "failed", "three": "skipped"})


def wrapped(**outcomes: str) -> Run:
    return Run("wrapped", {**BARE.outcomes, **outcomes}, spans=10)


def problems_of(
    *runs: Run, confirmed: tuple[Difference, ...] = (), expected: dict[tuple[str, str], str]
) -> list[str]:
    return find_problems(runs, confirmed, expected, min_passed=1, min_spans=10)


def test_equal_outcomes_are_no_difference_even_if_they_are_failures() -> None:
    assert [] == differences(BARE, wrapped())
    assert [] == problems_of(BARE, wrapped(), expected={})


@pytest.mark.parametrize("outcome", ["failed", "skipped", "error", "unfinished"])
def test_a_test_that_ends_differently_is_a_difference(outcome: str) -> None:
    listed = differences(BARE, wrapped(one=outcome))

    assert [Difference("one", "wrapped", "passed", outcome)] == listed
    assert [f"one: passed bare, {outcome} wrapped"] == problems_of(
        BARE, wrapped(one=outcome), confirmed=tuple(listed), expected={}
    )


def test_a_test_that_only_one_form_ran_is_a_difference() -> None:
    more, less = wrapped(four="passed"), Run("wrapped", {"one": "passed", "two": "failed"})

    assert ["four: not run bare, passed wrapped"] == [str(one) for one in differences(BARE, more)]
    assert ["three: skipped bare, not run wrapped"] == [str(one) for one in differences(BARE, less)]


def test_a_test_that_passes_only_when_wrapped_is_a_difference_too() -> None:
    assert ["two"] == [one.test for one in differences(BARE, wrapped(two="passed"))]


def test_a_difference_with_a_reason_is_no_problem_in_its_form_only() -> None:
    confirmed = tuple(differences(BARE, wrapped(one="failed")))
    reason = {("wrapped", "one"): "headers are added"}

    assert [] == problems_of(BARE, wrapped(one="failed"), confirmed=confirmed, expected=reason)
    assert 1 == len(
        problems_of(
            BARE,
            wrapped(one="failed"),
            confirmed=confirmed,
            expected={("zero-code", "one"): "headers are added"},
        )
    )


def test_a_reason_without_a_difference_is_a_problem() -> None:
    assert ["one: expected to differ wrapped, but does not"] == problems_of(
        BARE, wrapped(), expected={("wrapped", "one"): "outdated"}
    )


def test_a_run_without_tests_is_no_success() -> None:
    assert [
        "only 0 tests passed bare, 1 are required",
        "wrapped clients made 0 spans, 10 are required",
    ] == problems_of(Run("bare", {}), Run("wrapped", {}), expected={})


def test_bare_clients_that_make_spans_are_a_problem() -> None:
    assert ["bare clients made 3 spans: something instruments them"] == problems_of(
        Run("bare", {"one": "passed"}, spans=3), expected={}
    )


def test_a_difference_is_steady_if_it_shows_again() -> None:
    difference = Difference("one", "wrapped", "passed", "failed")
    same, other = (BARE, wrapped()), (BARE, wrapped(one="failed"))

    assert is_steady(difference, [same, other])
    assert not is_steady(difference, [same, same])


def test_a_test_with_varying_outcomes_for_bare_clients_is_not_steady() -> None:
    difference = Difference("one", "wrapped", "failed", "passed")
    failing = Run("bare", {"one": "failed"})

    assert is_steady(difference, [(failing, wrapped()), (failing, wrapped(one="failed"))])
    assert not is_steady(difference, [(failing, wrapped()), (BARE, wrapped())])


def test_a_run_that_was_killed_has_unfinished_tests(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    journal.write_text(
        '{"collected": ["one", "two"]}\n'
        '{"test": "one", "outcome": "failed", "detail": "why", "spans": 4}\n'
        '{"test": "two", "outc'
    )

    run = read_run("wrapped", journal, 2.0)

    assert {"one": "failed", "two": "unfinished"} == run.outcomes
    assert {"one": "why"} == run.details
    assert 4 == run.spans
    assert "wrapped: 1 failed, 1 unfinished; 2 tests, 4 spans, 2 s" == run.total()


def test_a_run_without_a_journal_has_no_tests(tmp_path: Path) -> None:
    assert "bare: nothing ran; 0 tests, 0 spans, 1 s" == (
        read_run("bare", tmp_path / "absent", 1.0).total()
    )


def checkout(folder: Path, *, number: str, tests: bool = True) -> Path:
    for name in ("aiokafka/__init__.py", "pyproject.toml"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f'__version__ = "{number}"\n')
    if tests:
        (folder / "tests").mkdir()
        for name in ("_testutil.py", *MODULES):
            (folder / "tests" / name).touch()
    return folder


def test_the_selected_tests_of_a_checkout_are_copied(tmp_path: Path) -> None:
    source = checkout(tmp_path, number=version("aiokafka"))
    folder = tmp_path / "copied"
    folder.mkdir()

    copy_tests(source, folder)

    assert {"__init__.py", "_testutil.py", *MODULES} == {
        file.name for file in (folder / PACKAGE).iterdir()
    }


def test_the_error_of_an_unusable_path_says_what_to_give(tmp_path: Path) -> None:
    empty, old, untested = (tmp_path / name for name in ("empty", "old", "untested"))
    for folder in (empty, old, untested):
        folder.mkdir()

    with pytest.raises(UnusablePathError, match=r"no aiokafka/__init__\.py.* clone https://"):
        copy_tests(empty, tmp_path)
    with pytest.raises(UnusablePathError, match=r"is aiokafka 0\.1, but .* is installed"):
        copy_tests(checkout(old, number="0.1"), tmp_path)
    with pytest.raises(UnusablePathError, match="source distributions come without tests"):
        copy_tests(checkout(untested, number=version("aiokafka"), tests=False), tmp_path)


def test_the_command_line_refuses_an_unusable_path(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [str(tmp_path)])

    assert 2 == result.exit_code
    assert "Invalid value for PATH" in result.output


def test_every_exception_names_a_test_of_a_selected_module_and_a_reason() -> None:
    named = {**{("bare", test): reason for test, reason in SKIPPED.items()}, **EXPECTED}

    assert {True} == {form in FORMS for form, _ in named}
    assert {True} == {test.partition("::")[0] in MODULES for _, test in named}
    assert {True} == {len(reason) > 20 for reason in named.values()}
