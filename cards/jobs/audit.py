"""Checking the journals of a job, without changing them: chains, closings, and what each card came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cards.jobs.book import lines_of_present_chip
from cards.jobs.journal import JournalBroken, Line, What, genesis, read_journal
from cards.jobs.manifest import SignedJob


@dataclass(frozen=True, slots=True)
class Audit:
    """What the journals prove. `problems` is empty for a job whose journals are as they were written."""

    job: str
    wanted: int
    finished: int
    not_finished: list[str]
    set_aside: dict[str, str]
    """Why, by chip."""
    problems: list[str]
    head: str
    """The last hash of the job's journal: for a signed paper, which then stands for all of them."""
    keys: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Version and check value of each key, by number, of finished cards."""


def audit_job(directory: Path, job: SignedJob) -> Audit:
    """Read everything in a job's directory and say what is proved and what is wrong."""
    problems: list[str] = []
    lines, head = _read(directory / "job.jsonl", genesis(job.digest, "job"), problems)
    open_numbers: dict[str, str] = {}
    closings: dict[str, list[Line]] = {}
    for line in lines:
        if line.what is What.ASSIGNED:
            open_numbers[line.number] = line.uid
        elif line.what is What.CLOSED:
            open_numbers.pop(line.number, None)
            closings.setdefault(line.number, []).append(line)
    finished, aside, keys = 0, {}, {}
    for number, closed in closings.items():
        aside.update({line.uid: line.words for line in closed if line.step == What.SET_ASIDE})
        found, _ = _read(_card(directory, number), genesis(job.digest, number), problems)
        _check_closings(number, found, closed, _hashes(directory, job, number), problems)
        present = lines_of_present_chip(found)
        if closed[-1].step == What.FINISHED:
            finished += 1
            accepted = [line for line in present if line.what is What.ACCEPTED]
            if not accepted:
                problems.append(f"Card {number} is called finished, and was never read back.")
            else:
                keys[number] = accepted[-1].keys
    for number in open_numbers.keys() - closings.keys():
        _read(_card(directory, number), genesis(job.digest, number), problems)
    _check_strangers(directory, {*closings, *open_numbers}, problems)
    return Audit(
        job.manifest.job, job.manifest.count, finished, sorted(open_numbers), aside, problems, head, keys
    )


def _card(directory: Path, number: str) -> Path:
    return directory / "cards" / f"{number}.jsonl"


def _read(path: Path, first: bytes, problems: list[str]) -> tuple[list[Line], str]:
    try:
        lines, head, _ = read_journal(path, first)
    except JournalBroken as broken:
        problems.append(str(broken))
        return [], ""
    return lines, head


def _hashes(directory: Path, job: SignedJob, number: str) -> set[str]:
    """The hash after each line of a card's journal."""
    try:
        lines, head, _ = read_journal(_card(directory, number), genesis(job.digest, number))
    except JournalBroken:
        return set()
    return {head, *(line.before for line in lines)}


def _check_closings(
    number: str, lines: list[Line], closed: list[Line], hashes: set[str], problems: list[str]
) -> None:
    if any(line.head not in hashes for line in closed):
        problems.append(f"Card {number}: its journal does not hold what the job's journal closed.")
    ended = sum(line.what in (What.FINISHED, What.SET_ASIDE) for line in lines)
    if ended < len(closed):
        problems.append(f"Card {number}: lines are missing at the end of its journal.")


def _check_strangers(directory: Path, known: set[str], problems: list[str]) -> None:
    cards = directory / "cards"
    strangers = {path.stem for path in cards.glob("*.jsonl")} - known if cards.is_dir() else set()
    problems.extend(
        f"{name}.jsonl: the job's journal never gave this number to a card." for name in sorted(strangers)
    )
