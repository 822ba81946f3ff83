"""What silences a check says why, beside it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SILENCED = re.compile(r"#\s*(?:noqa|type:\s*ignore|pragma:\s*no cover|ruff:\s*noqa|mypy:)")
WITH_A_REASON = re.compile(
    r"# (?:noqa: [A-Z]+\d+(?:, [A-Z]+\d+)* - "
    r"|type: ignore\[[a-z-]+(?:, [a-z-]+)*\]  # "
    r"|pragma: no cover - )\S"
)
FOLDERS = ("node", "cards", "simulators", "bench", "verifier", "tests")
GENERATED = ("_pb2.py", "_pb2_grpc.py")


def without_a_reason(text: str) -> list[str]:
    """The lines that silence a check and do not say why."""
    return [line for line in text.splitlines() if SILENCED.search(line) and not WITH_A_REASON.search(line)]


def test_every_silenced_check_says_why() -> None:
    written = [
        path
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not path.name.endswith(GENERATED) and path != Path(__file__).resolve()
    ]
    assert written
    found = {
        str(path.relative_to(ROOT)): lines
        for path in written
        if (lines := without_a_reason(path.read_text(encoding="utf-8")))
    }
    assert found == {}


def test_a_check_that_is_silenced_without_a_word_is_found() -> None:
    assert without_a_reason("x = 1  # noqa: E731\ny = 2  # type: ignore[arg-type]\nz = 3  # noqa")
    assert not without_a_reason("x = 1  # noqa: E731 - why\ny = 2  # type: ignore[arg-type, misc]  # why")
