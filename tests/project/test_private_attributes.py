"""Private attributes of the OpenTelemetry SDK and of aiokafka are read in a few named places."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PLACES = {
    "tracing/core/otel_context.py": "finds the variable of the API's own context runtime",
    "tracing/spans/fast.py": "reads the limits and the scope of a tracer",
    "tracing/spans/light.py": "builds spans of the SDK's own class; fast_proof compares them",
    "tracing/spans/flat.py": "the same, from bytes",
    "tracing/spans/hand_over.py": "feeds the queues of the SDK's batch processors, tolerantly",
    "tracing/export/": "counts what the SDK's queues drop, and encodes spans of spans/fast",
    "tracing/kafka/client.py": "reads a client's configuration, tolerantly",
    "tracing/kafka/client_internals.py": "sends the requests of KIP-447 that aiokafka lacks",
}

PUBLIC_MODULES = {
    "opentelemetry._logs": "OpenTelemetry documents its logs API under this name",
    "opentelemetry.sdk._logs": "OpenTelemetry documents its logs SDK under this name",
    "opentelemetry.sdk._logs.export": "as above",
}

ELSEWHERE = {
    ("tracing/", "_mapping"): "SQLAlchemy documents it as the way to a row's names",
    ("tracing/", "_replace"): "typing.NamedTuple documents it",
    ("tracing/", "_exception"): "asyncio: exception() would hide an error that nothing else reads",
    ("tracing/messaging/flat/send.py", "_result"): "asyncio: says at once whether a send succeeded",
    ("tracing/kafka/coexistence.py", "_self_wrapper"): "wrapt documents it, and no client has it",
    ("tracing/kafka/traced_methods.py", "_pipeline_tracing"): "the library's own mark on a client",
    ("tracing/kafka/proxy.py", "_completed"): "the wrapper's own mark on itself",
    ("tracing/kafka/owned_producer.py", "_producer"): "the library's own wrapper",
    ("tracing/kafka/iteration.py", "_headers"): "the library's own Processing",
    ("tracing/kafka/zero_code.py", "_iterations"): "the library's own wrapper",
    ("tracing/kafka/batch.py", "_report"): "the library's own wrapper",
}

_PRIVATE = re.compile(r"_[a-z]\w*").fullmatch
_REACHING = {"getattr", "hasattr", "setattr", "delattr", "attrgetter", "methodcaller"}


def reached(source: str) -> Iterator[tuple[int, str]]:
    """Find the private names of other classes and packages that a module reaches for."""
    tree = ast.parse(source)
    yield from _attributes(tree, frozenset())
    yield from _texts(tree)
    for node in ast.walk(tree):
        for name in _imported(node):
            yield node.lineno, name  # type: ignore[attr-defined]  # an import has a line


def _own_names(tree: ast.AST) -> frozenset[str]:
    """Return the attributes that the classes below a node define."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_own(node.value):
            names.add(node.attr)
        elif isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
                    names.add(member.name)
                elif isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name):
                    names.add(member.target.id)
                elif isinstance(member, ast.Assign):
                    names |= {
                        target.id for target in member.targets if isinstance(target, ast.Name)
                    }
    return frozenset(names)


def _is_own(subject: ast.expr) -> bool:
    return isinstance(subject, ast.Name) and subject.id in {"self", "cls"}


def _attributes(node: ast.AST, own: frozenset[str]) -> Iterator[tuple[int, str]]:
    """Find private attributes of anything but the classes around."""
    if isinstance(node, ast.ClassDef):
        own |= _own_names(node)
    elif (
        isinstance(node, ast.Attribute)
        and _PRIVATE(node.attr)
        and not _is_own(node.value)
        and node.attr not in own
    ):
        yield node.lineno, node.attr
    for child in ast.iter_child_nodes(node):
        yield from _attributes(child, own)


def _texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Find private names as text, which `getattr` and its like may be given."""
    own = _own_names(tree)
    parts = {
        part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node) in _REACHING:
            subject, *_ = [*node.args, node]
            if not _is_own(subject):
                for argument in node.args:
                    if isinstance(argument, ast.Constant) and _private_text(argument):
                        yield node.lineno, str(argument.value)
        elif (
            isinstance(node, ast.Constant)
            and _private_text(node)
            and node.value not in own
            and node not in parts
        ):
            yield node.lineno, str(node.value)


def _called(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def _private_text(constant: ast.Constant) -> bool:
    return isinstance(constant.value, str) and _PRIVATE(constant.value) is not None


def _imported(node: ast.AST) -> Iterator[str]:
    """Find private modules, and private names of other packages."""
    modules: list[str] = []
    names: list[str] = []
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        modules = [node.module or ""]
        names = [alias.name for alias in node.names]
    for module in modules:
        if module not in PUBLIC_MODULES and any(map(_PRIVATE, module.split("."))):
            yield module
        yield from (f"{module}.{name}" for name in names if _PRIVATE(name))


def offenders() -> set[tuple[str, str]]:
    """Return files and private names of all that is outside of the places."""
    return {
        (path, name)
        for file in (ROOT / "tracing").rglob("*.py")
        if not (path := file.relative_to(ROOT).as_posix()).startswith(tuple(PLACES))
        for _, name in reached(file.read_text())
    }


def test_private_attributes_are_read_only_in_the_named_places() -> None:
    unexplained = {
        (path, name)
        for path, name in offenders()
        if not any(path.startswith(start) and name == known for start, known in ELSEWHERE)
    }

    assert set() == unexplained


def test_every_place_and_every_exception_is_still_needed() -> None:
    found = offenders()
    unneeded = {
        (start, name)
        for start, name in ELSEWHERE
        if not any(path.startswith(start) and name == other for path, other in found)
    }
    missing = {place for place in PLACES if not (ROOT / place).exists()}

    assert (set(), set()) == (unneeded, missing)


def test_the_linter_permits_private_attributes_only_in_the_same_places() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    ignored = settings["tool"]["ruff"]["lint"]["per-file-ignores"]
    permitted = {path for path, rules in ignored.items() if "SLF001" in rules} - {"tests/**"}

    assert permitted <= PLACES.keys()


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("span._name", ["_name"]),
        ("self._tracer._limits", ["_limits"]),
        ("class A:\n def f(self, other): self._x = other._x; other._y", ["_y"]),
        ("class A:\n _x = 1\ndef f(a): a._x", ["_x"]),
        ("getattr(client, '_sender', None)", ["_sender"]),
        ("class A:\n def f(self, client): self._sender = getattr(client, '_sender')", ["_sender"]),
        ("operator.attrgetter('_sender')", ["_sender"]),
        ("PARTS = ('client', '_sender')", ["_sender"]),
        ("vars(client)['_sender']", ["_sender"]),
        ("class A:\n __slots__ = ('_x',)\n def __init__(self): self._x = 1", []),
        ("f'{name}_suffix'", []),
        ("client.__dict__", []),
        ("from opentelemetry.sdk._logs import LoggerProvider", []),
        ("from opentelemetry.sdk._shared import Batch", ["opentelemetry.sdk._shared"]),
        ("from aiokafka.client import _client", ["aiokafka.client._client"]),
        ("import opentelemetry.sdk._shared", ["opentelemetry.sdk._shared"]),
    ],
)
def test_every_use_of_a_private_name_is_noticed(source: str, names: list[str]) -> None:
    assert set(names) == {name for _, name in reached(source)}
