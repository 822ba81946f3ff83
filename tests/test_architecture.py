"""The tree keeps the shape that its documents promise: floors, pure packages, short documented modules."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("node", "cards", "simulators", "bench", "verifier")
PURE = ("ledger", "people", "programme", "coalition", "settlement")
MAX_LINES = 350
TOO_LONG: frozenset[str] = frozenset()
"""Modules that may be longer than MAX_LINES. It is empty, and a name here needs a reason beside it."""

# Calls that read the clock, take a chance or touch the world without an import that a contract forbids.
_IMPURE_METHODS = {"now", "utcnow", "today"}
_IMPURE_BUILTINS = {"open", "print", "input", "eval", "exec", "__import__", "breakpoint"}


def _is_generated(path: Path) -> bool:
    return re.search(r"_pb2(_grpc)?\.pyi?$", path.name) is not None


def _written_modules(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    assert found
    return [path for path in found if not _is_generated(path)]


def _pure_modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in _written_modules(*(f"node/{package}" for package in PURE)):
        yield path, ast.parse(path.read_text("utf-8"))


def _place(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def _lint_imports(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-logo", "--no-cache", *options]
    # The copy under `root` must win over the installed packages, which PYTHONPATH sees to.
    environment = {"PYTHONPATH": str(root), "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=120)


def test_no_module_is_longer_than_350_lines() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines())
        for path in _written_modules(*PACKAGES, "tests")
    }
    assert {
        name: lines for name, lines in lengths.items() if lines > MAX_LINES and name not in TOO_LONG
    } == {}
    assert set(TOO_LONG) <= {name for name, lines in lengths.items() if lines > MAX_LINES}


_Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_Owned = tuple[_Definition, ast.ClassDef | None]


def _public_definitions(body: list[ast.stmt], owner: ast.ClassDef | None = None) -> Iterator[_Owned]:
    for node in body:
        if isinstance(node, _Definition) and not node.name.startswith("_"):
            yield node, owner
            if isinstance(node, ast.ClassDef):
                yield from _public_definitions(node.body, node)


def _promised(trees: list[ast.Module]) -> set[str]:
    """The methods that some Protocol documents; who implements one need not say it again."""
    return {
        node.name
        for tree in trees
        for node, owner in _public_definitions(tree.body)
        if owner and any("Protocol" in ast.unparse(base) for base in owner.bases) and ast.get_docstring(node)
    }


def test_everything_public_in_node_says_what_it_does() -> None:
    trees = {path: ast.parse(path.read_text("utf-8")) for path in _written_modules("node")}
    promised = _promised(list(trees.values()))
    found = [str(path) for path, tree in trees.items() if tree.body and ast.get_docstring(tree) is None]
    found += [
        f"{_place(path, node)}: {node.name}"
        for path, tree in trees.items()
        for node, owner in _public_definitions(tree.body)
        if ast.get_docstring(node) is None and not (owner and node.name in promised)
    ]
    assert found == []


def test_pure_packages_read_no_clock_and_touch_nothing_outside() -> None:
    found = []
    for path, tree in _pure_modules():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            match node.func:
                case ast.Attribute(attr=name) if name in _IMPURE_METHODS:
                    found.append(f"{_place(path, node)}: {ast.unparse(node.func)}()")
                case ast.Name(id=name) if name in _IMPURE_BUILTINS:
                    found.append(f"{_place(path, node)}: {name}()")
    assert found == []


def test_the_books_know_no_floating_point() -> None:
    found = []
    for path in _written_modules("node/ledger"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Constant(value=float()) | ast.Name(id="float") | ast.BinOp(op=ast.Div()):
                    found.append(f"{_place(path, node)}: {ast.unparse(node)}")
    assert found == []


def test_imports_keep_to_the_floors() -> None:
    result = _lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


VIOLATIONS = [
    ("cards/__init__.py", "import simulators", "houses"),
    ("node/rpc/__init__.py", "import bench", "houses"),
    ("node/wire/__init__.py", "import node.storage", "floors"),
    ("node/ledger/__init__.py", "import node.people", "floors"),
    ("node/people/__init__.py", "import node.programme", "floors"),
    ("node/telemetry.py", "import node.ledger", "floors"),
    ("node/upstairs.py", '"""A module that was given no floor."""', "floors"),
    ("node/ledger/__init__.py", "import time", "pure"),
    ("node/people/__init__.py", "import node.config", "pure"),
    ("node/settlement/__init__.py", "from random import random", "pure"),
    ("node/rpc/__init__.py", "import cel", "cel"),
    ("node/storage/__init__.py", "import ray", "ray"),
    ("node/actors/__init__.py", "import rocksdict", "rocksdb"),
    ("node/actors/__init__.py", "from google.protobuf import message", "protobuf"),
    ("node/actors/__init__.py", "import node.proto.vafa.pos.v1.earning_pb2", "protobuf"),
    ("node/actors/__init__.py", "import grpc", "grpc"),
    ("cards/__init__.py", "import node.storage", "cards"),
    ("node/rpc/__init__.py", "import cards.verification", "houses"),
    ("node/actors/__init__.py", "import cards.keystore", "cards-at-the-node"),
    ("verifier/__init__.py", "import node.settlement.netting", "verifier"),
    ("verifier/__init__.py", "import node.wire.settlement", "verifier"),
]


@pytest.fixture(scope="module")
def contract_names() -> dict[str, str]:
    """The contracts' names by their ids, from pyproject.toml."""
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return {item["id"]: item["name"] for item in settings["tool"]["importlinter"]["contracts"]}


def test_every_contract_is_seen_to_bite(contract_names: dict[str, str]) -> None:
    assert {contract for _, _, contract in VIOLATIONS} == set(contract_names)


@pytest.mark.parametrize(("module", "line", "contract"), VIOLATIONS)
def test_an_import_that_breaks_the_architecture_fails_the_build(
    module: str, line: str, contract: str, contract_names: dict[str, str], tmp_path: Path
) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    result = _lint_imports(tmp_path, "--contract", contract)
    assert result.returncode != 0
    assert f"{contract_names[contract]} BROKEN" in result.stdout, result.stdout


# Put together here, so that this file does not hold what it looks for.
_HOMES = ("/home/", "/Users/", "/root/")
_REGISTRIES = [
    name.replace(" ", "")
    for name in ("py pi.org", "python hosted", "registry. npmjs", "deb. debian", "index -url")
]
_OF_ONE_MACHINE = re.compile(rf"(?<![\w.~-])({'|'.join(_HOMES)})\w|{'|'.join(map(re.escape, _REGISTRIES))}")


def _project_files() -> list[Path]:
    """What is tracked, and what is new and would be."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_machine_it_was_made_on_or_a_package_registry() -> None:
    found = []
    for path in _project_files():
        try:
            lines = path.read_text("utf-8").splitlines()
        except UnicodeDecodeError:
            continue  # a picture
        found += [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
            for number, line in enumerate(lines, 1)
            if _OF_ONE_MACHINE.search(line)
        ]
    assert found == []
