"""Three wheels and one sdist: what is in them, and that they work where other files lie around."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import pytest

from hatch_build import with_absolute_links
from tests.brokers import unavailable

ROOT = Path(__file__).parents[2]
# The folder of each distribution, and its package.
FOLDERS = {
    "tracing": ROOT,
    "dashboards": ROOT / "dashboards",
    "demo_pipeline": ROOT / "demo_pipeline",
}
WHEELS = {
    "tracing": "pipeline_tracing-",
    "dashboards": "pipeline_tracing_dashboards-",
    "demo_pipeline": "pipeline_tracing_demo-",
}
OF_THE_FOLDER = {"pyproject.toml", "LICENSE"}
_LINK = re.compile(r"(!?)\[[^\]]*\]\(([^)]+)\)")
# For Python programs that must not see the checkout.
ISOLATED = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def run(*command: str | Path, folder: Path, expected: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=folder, env=ISOLATED, capture_output=True, text=True, check=False
    )
    assert expected == done.returncode, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the wheels, and the sdist that holds the sources of all of them."""
    folder = tmp_path_factory.mktemp("built")
    build = (sys.executable, "-m", "hatchling", "build", "-d", folder)
    for each in FOLDERS.values():
        run(*build, "-t", "wheel", folder=each)
    run(*build, "-t", "sdist", folder=ROOT)
    return folder


def wheel_of(package: str, built: Path) -> Path:
    (wheel,) = built.glob(f"{WHEELS[package]}*.whl")
    return wheel


@pytest.fixture(scope="module")
def environment(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the programs of a new environment with the wheels, and this one's other packages."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    programs = folder / "bin"
    run(
        sys.executable, "-m", "pip", "--python", programs / "python", "install", "--quiet",
        "--disable-pip-version-check", "--no-deps", "--no-index", *built.glob("*.whl"),
        folder=folder,
    )  # fmt: skip
    (site,) = folder.glob("lib/python*/site-packages")
    here = Path(pytest.__file__).parents[1]
    (site / "packages_of_the_tests.pth").write_text(f"{here}\n")
    return programs


def own_files(package: str) -> set[str]:
    listed = run(
        "git", "ls-files", "--cached", "--others", "--exclude-standard", package, folder=ROOT
    )
    return {
        name
        for name in listed.stdout.splitlines()
        if name.removeprefix(f"{package}/") not in OF_THE_FOLDER
    }


@pytest.mark.parametrize("package", FOLDERS)
def test_a_wheel_holds_all_files_of_its_package_and_nothing_else(package: str, built: Path) -> None:
    names = ZipFile(wheel_of(package, built)).namelist()

    assert own_files(package) == {name for name in names if ".dist-info/" not in name}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_every_distribution_has_the_licence_and_the_metadata_of_the_repository() -> None:
    licences = {(folder / "LICENSE").read_bytes() for folder in FOLDERS.values()}
    projects = [
        tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        for folder in FOLDERS.values()
    ]

    assert 1 == len(licences)
    for field in ("authors", "license", "requires-python", "urls"):
        assert all(projects[0][field] == project[field] for project in projects)


def test_each_wheel_can_be_built_from_the_sdist(built: Path, tmp_path: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (sources,) = tmp_path.iterdir()

    for package, folder in FOLDERS.items():
        place = sources / folder.relative_to(ROOT)
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, folder=place)
        again, first = wheel_of(package, tmp_path), wheel_of(package, built)
        assert sorted(ZipFile(first).namelist()) == sorted(ZipFile(again).namelist())


def test_an_index_accepts_the_metadata_and_shows_the_descriptions(built: Path) -> None:
    if find_spec("twine") is None:
        unavailable("twine is not installed")

    run(sys.executable, "-m", "twine", "check", "--strict", *built.iterdir(), folder=ROOT)


def test_all_links_of_the_description_lead_to_the_repository(built: Path) -> None:
    with ZipFile(wheel_of("tracing", built)) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        shown = wheel.read(name).decode()
    source = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Source"]

    described = _LINK.findall(shown)
    written = _LINK.findall((ROOT / "README.md").read_text())
    assert len(written) > 10
    assert [
        (image, link if "://" in link else f"{source}/{'raw' if image else 'blob'}/main/{link}")
        for image, link in written
    ] == described


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](docs/a.md#b)", "[a](https://host/x/blob/main/docs/a.md#b)"),
        ("[many\nlines](a.md) [b](b.md)",
         "[many\nlines](https://host/x/blob/main/a.md) [b](https://host/x/blob/main/b.md)"),
        ("![a](a.svg)", "![a](https://host/x/raw/main/a.svg)"),
        ("[a](https://other/a.md), [b](#here)", "[a](https://other/a.md), [b](#here)"),
        ("`handlers[0](record)`", "`handlers[0](record)`"),
        ("```python\nhandlers[0](record)\n```\n", "```python\nhandlers[0](record)\n```\n"),
    ],
)  # fmt: skip
def test_relative_links_become_absolute_and_all_else_stays(text: str, expected: str) -> None:
    assert expected == with_absolute_links(text, "https://host/x")


@pytest.mark.parametrize("package", FOLDERS)
def test_a_wheel_has_none_of_the_usual_mistakes(package: str, built: Path) -> None:
    if find_spec("check_wheel_contents") is None:
        unavailable("check-wheel-contents is not installed")
    wheel = wheel_of(package, built)

    run(sys.executable, "-m", "check_wheel_contents", wheel, folder=FOLDERS[package])


@pytest.mark.parametrize("script", ["pipeline-tracing", "pipeline-demo"])
def test_an_installed_script_works_beside_files_of_the_same_names(
    script: str, environment: Path, tmp_path: Path
) -> None:
    for name in ("tracing", "dashboards", "demo_pipeline", "click"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')")

    done = run(environment / script, "--help", folder=tmp_path)

    assert "" == done.stderr
    assert done.stdout.startswith(f"Usage: {script} ")


def test_a_file_named_tracing_hides_the_library_from_python_but_not_from_a_script(
    environment: Path, tmp_path: Path
) -> None:
    (tmp_path / "tracing.py").write_text("print('my own file')")

    hidden = run(environment / "python", "-m", "tracing", "metrics", folder=tmp_path)
    shown = run(environment / "pipeline-tracing", "metrics", folder=tmp_path)

    assert "my own file\n" == hidden.stdout
    assert "pipeline.end_to_end.duration" in shown.stdout


def test_the_installed_packages_read_their_own_files(environment: Path, tmp_path: Path) -> None:
    python = environment / "python"

    run(python, "-m", "dashboards", "generate", "--out", "generated", folder=tmp_path)
    checked = run(python, "-m", "demo_pipeline", "schemas", "check", folder=tmp_path)

    assert any((tmp_path / "generated").glob("*.json"))
    assert "schemas are registered and compatible" in checked.stdout
    assert (
        str(environment.parent)
        in run(python, "-c", "import tracing; print(tracing.__file__)", folder=tmp_path).stdout
    )
