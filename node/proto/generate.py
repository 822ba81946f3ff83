"""Generates the Python code of the protos, committed beside them: ``python -m node.proto.generate``.

protoc writes imports that start at the proto root (``from vafa.common.v1 import …``). They are
rewritten to ``from node.proto.vafa.common.v1 import …`` so that the code loads from where it lies and
no top-level package named ``vafa`` is needed. Every folder gets an ``__init__.py``: without one the
import contracts would not see who uses the generated code. ``--check`` writes nothing and exits 1
where the committed code differs from what the protos give.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).resolve().parent
_PLUGINS = ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
_IMPORT = re.compile(r"^(from|import) vafa\.", re.MULTILINE)
_STUB_NAME = re.compile(r"(?<![\w.])vafa\.(?=\w+\.v1\.)")


def generate_into(target: Path) -> None:
    """Compiles every proto below this package into `target`, imports rewritten."""
    from grpc_tools import protoc

    protos = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("vafa/**/*.proto"))
    includes = [f"-I{ROOT}", f"-I{files('grpc_tools') / '_proto'}"]
    outputs = [f"--python_out={target}", f"--grpc_python_out={target}", f"--mypy_out=quiet:{target}"]
    outputs.append(f"--mypy_grpc_out=quiet:{target}")
    # The plugins lie beside the interpreter; PATH need not name them.
    outputs += [f"--plugin={name}={Path(sys.executable).parent / name}" for name in _PLUGINS]
    if protoc.main(["protoc", *includes, *outputs, *protos]) != 0:
        raise SystemExit("protoc refused the protos; its words are above")
    for path in sorted(target.glob("vafa/**/*_pb2*.py*")):
        path.write_text(_rewrite(path.read_text("utf-8"), path.suffix), "utf-8")
    _drop_empty_services(target)
    for path in target.glob("vafa/**/*_pb2.py"):
        for folder in (target / "vafa", path.parent.parent, path.parent):
            (folder / "__init__.py").touch()


def _rewrite(text: str, suffix: str) -> str:
    text = _IMPORT.sub(r"\1 node.proto.vafa.", text)
    # Stubs name other modules by their full path as well: vafa.common.v1.money_pb2.Money.
    return _STUB_NAME.sub("node.proto.vafa.", text) if suffix == ".pyi" else text


def _drop_empty_services(target: Path) -> None:
    """Removes the *_pb2_grpc files of protos that define no service."""
    for path in target.glob("vafa/**/*_pb2_grpc.py"):
        if "Servicer" not in path.read_text("utf-8"):
            path.unlink()
            path.with_suffix(".pyi").unlink(missing_ok=True)


def drift(fresh: Path) -> list[str]:
    """The generated files that differ between `fresh` and this package, by relative name."""
    made, kept = _python_below(fresh), _python_below(ROOT)
    return sorted(str(name) for name in made.keys() | kept.keys() if made.get(name) != kept.get(name))


def _python_below(root: Path) -> dict[Path, bytes]:
    found = (path for path in root.glob("vafa/**/*") if path.suffix in {".py", ".pyi"})
    return {path.relative_to(root): path.read_bytes() for path in found}


def main() -> int:
    """Generates, or with --check compares; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 where code differs")
    if not parser.parse_args().check:
        for stale in ROOT.glob("vafa/**/*_pb2*.py*"):
            stale.unlink()
        generate_into(ROOT)
        return 0
    with tempfile.TemporaryDirectory() as fresh:
        generate_into(Path(fresh))
        names = drift(Path(fresh))
    for name in names:
        print(f"{name} is not what the protos give: run python -m node.proto.generate", file=sys.stderr)
    return 1 if names else 0


if __name__ == "__main__":
    raise SystemExit(main())
