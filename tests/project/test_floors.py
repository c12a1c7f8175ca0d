"""Every module stands on a floor, and imports go down."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.project.floors import (
    CLIENT_LIBRARIES,
    FLOORS,
    OUTSIDE,
    PUBLIC,
    ROOT,
    circles,
    imports_in,
    room_of,
    sources_of,
    unlisted,
    upward,
)

TOPS = sorted(FLOORS)


@pytest.mark.parametrize("top", TOPS)
def test_every_module_stands_on_a_floor(top: str) -> None:
    assert [] == unlisted(sources_of(top), FLOORS[top])


@pytest.mark.parametrize("top", TOPS)
def test_every_floor_has_its_modules(top: str) -> None:
    rooms = {room for rooms in FLOORS[top] for room in rooms}

    assert rooms == {room_of(name) for name in sources_of(top)} - {""}


@pytest.mark.parametrize("top", TOPS)
def test_imports_go_down(top: str) -> None:
    assert [] == upward(imports_in(sources_of(top)), FLOORS[top])


@pytest.mark.parametrize("top", TOPS)
def test_modules_do_not_import_each_other_in_circles(top: str) -> None:
    sources = sources_of(top)

    assert [] == circles(imports_in(sources), sources)


@pytest.mark.parametrize("top", TOPS)
def test_imports_are_absolute(top: str) -> None:
    imports = imports_in(sources_of(top))

    assert [] == [str(each) for each in imports if each.imported.startswith(".")]


@pytest.mark.parametrize("top", TOPS)
def test_a_package_imports_only_permitted_modules_of_other_packages(top: str) -> None:
    sources = {name: text for each in TOPS for name, text in sources_of(each).items()}

    assert [] == [
        str(each)
        for each in imports_in(sources)
        if each.importer.partition(".")[0] == top
        if (imported := each.imported.partition(".")[0]) in FLOORS
        if imported != top
        if each.imported not in OUTSIDE[top]
    ]


@pytest.mark.parametrize("library", sorted(CLIENT_LIBRARIES))
def test_only_a_few_packages_import(library: str) -> None:
    assert [] == [
        str(each)
        for each in imports_in(sources_of("tracing"))
        if each.imported.partition(".")[0] == library
        if room_of(each.importer) not in CLIENT_LIBRARIES[library]
    ]


def test_only_the_testing_package_imports_test_doubles() -> None:
    assert [] == [
        str(each)
        for each in imports_in(sources_of("tracing"))
        if room_of(each.imported) == "testing"
        if each.importer.startswith("tracing.") and room_of(each.importer) != "testing"
        # Both print the same trees.
        if (each.importer, each.imported) != ("tracing.console", "tracing.testing.span_trees")
    ]


def test_the_documentation_lists_every_package_of_the_library_once_on_its_floor() -> None:
    section = (ROOT / "docs" / "contributing.md").read_text().partition("## Where things are")[2]
    # The first table of the section: it ends with the first line that is no row.
    rows = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert rows is not None
    listed = sorted(
        (name.removesuffix(".py").removesuffix("/"), floor)
        for floor, names in re.findall(r"^\| (\S{1,2}) \| (.*?) \|", rows[0], re.MULTILINE)
        for name in re.findall(r"`(.*?)`", names)
    )

    expected = {name: str(floor) for floor, names in enumerate(FLOORS["tracing"]) for name in names}
    # It stands beside the others, and the row of the command line has its entry point.
    expected["testing"] = "–"  # noqa: RUF001 - a dash, for no number
    entry_point = expected.pop("__main__")
    assert sorted(expected.items()) == listed
    assert f"`__main__.py`, on floor {entry_point}," in rows[0]


def test_public_modules_exist() -> None:
    assert set(sources_of("tracing")) >= PUBLIC


def test_importing_tracing_loads_only_the_opentelemetry_api() -> None:
    program = (
        "import sys, tracing\n"
        "heavy = ('aiokafka', 'opentelemetry.sdk', 'opentelemetry.exporter', 'wrapt', 'click',\n"
        "         'rich', 'opentelemetry.instrumentation')\n"
        "print(sorted(name for name in sys.modules if name.startswith(heavy)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )

    assert "[]" == done.stdout.strip()


LONGEST = 350
SHORTEST = 60
SHORT = {
    "tracing.metrics.catch_up_metrics": "three definitions for which the catalogue has no room",
    "tracing.__main__": "the entry point",
    "tracing.core.version": "one constant, which builds read, too",
    "tracing.core.extras": "one error, below all parts that raise it",
    "tracing.core.times": "three formats, below the libraries and the commands that show times",
    "tracing.metrics.buckets": "only constants",
    "tracing.metrics.cluster_metrics": "only constants",
    "tracing.metrics.schema_metrics": "only constants",
    "tracing.metrics.telemetry_metrics": "only constants",
    "tracing.messaging.flat.near": "only constants",
    "tracing.spans.on_demand": "two descriptors, below the spans that have them",
}


def test_modules_of_the_library_are_neither_long_nor_short() -> None:
    lines = {
        name: len(text.splitlines())
        for name, text in sources_of("tracing").items()
        if not (ROOT / name.replace(".", "/")).is_dir()  # a package has an `__init__`
    }

    assert [] == [name for name, count in lines.items() if count > LONGEST]
    assert set(SHORT) == {name for name, count in lines.items() if count < SHORTEST}


HOUSE = (("ground",), ("first", "annex"), ("attic",))


@pytest.mark.parametrize(
    ("module", "text", "expected"),
    [
        ("house.attic.a", "from house.ground.b import c", []),
        ("house.first.a", "from house.first.b import c", []),
        ("house", "from house.attic.b import c", []),
        ("house.ground.a", "from house.attic.b import c", ["house.ground.a -> house.attic.b"]),
        ("house.first.a", "import house.annex.b", ["house.first.a -> house.annex.b"]),
        ("house.ground.a", "from house import ground", []),
        ("house.ground.a", "from house import Thing", ["house.ground.a -> house"]),
        ("house.ground.a", "def f():\n  import house.shed", ["house.ground.a -> house.shed"]),
        (
            "house.ground.a",
            "if TYPE_CHECKING:\n  from house.attic.b import c",
            ["house.ground.a -> house.attic.b (type checking)"],
        ),
    ],
)
def test_an_import_that_does_not_go_down_is_noticed(
    module: str, text: str, expected: list[str]
) -> None:
    modules = {module: text, "house.attic.b": "", "house.first.b": "", "house.ground": ""}

    assert expected == upward(imports_in(modules), HOUSE)


def test_a_circle_of_any_length_is_noticed() -> None:
    modules = {
        "house.a": "import house.b",
        "house.b": "from house import c",
        "house.c": "if typing.TYPE_CHECKING:\n  from house.a import d",
        "house.e": "import house.a",
    }

    assert [("house.a", "house.b", "house.c")] == circles(imports_in(modules), modules)


def test_a_module_without_a_floor_is_noticed() -> None:
    modules = {"house": "", "house.ground.a": "", "house.shed": "", "house.new.b": ""}

    assert ["house.shed", "house.new.b"] == unlisted(modules, HOUSE)
