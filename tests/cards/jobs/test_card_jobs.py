"""A batch of cards: whatever tears a card or kills the program, each card is finished or known not to be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cards.crypto import CardKey
from cards.jobs import Result, audit_job
from cards.jobs import journal as journal_module
from cards.jobs.book import MAX_FAILED_VISITS, MAX_WRONG_KEYS_PER_CARD
from cards.keys import is_default
from cards.profiles.steps import MAX_WRONG_KEYS
from tests.cards.bureau import DESFIRE, KINDS, NTAG, Kind, issuer
from tests.cards.jobs.batch import FIRST, Batch, Hand, a_batch, blank_cards

ENROLS = '[enrolment]\naccounts = "personal"\n'
by_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def keys_on(card: Any) -> list[CardKey]:
    """Every key in a virtual card's memory, as nobody with a reader could see them."""
    memory = card.memory
    if hasattr(memory, "key_sets"):
        applets = [CardKey(one.memory.key) for one in memory.instances.values() if one.memory.key]
        return [key for one in memory.key_sets.values() for key in one.keys] + applets
    levels = [memory.picc, *memory.applications.values()] if hasattr(memory, "picc") else [memory]
    return [slot.key for level in levels for slot in level.keys]


def commands_of_a_whole_run(directory: Path, kind: Kind) -> int:
    batch = a_batch(directory, kind, ENROLS)
    (card,) = blank_cards(kind, 1)
    batch.run(Hand([card]))
    return card.commands_seen


@by_kind
def test_a_batch_is_made_numbered_read_back_and_enrolled(tmp_path: Path, kind: Kind) -> None:
    batch = a_batch(tmp_path, kind, ENROLS, cards=3)
    outcomes = batch.run(Hand(blank_cards(kind, 3)))

    assert [outcome.result for outcome in outcomes] == [Result.FINISHED] * 3
    assert [outcome.number for outcome in outcomes] == ["6104000000017", "6104000000018", "6104000000019"]
    enrolled = sorted(card.identity.alias for card in batch.node.requests.values())
    assert enrolled == [outcome.number for outcome in outcomes]
    audit = audit_job(tmp_path / "work", batch.job)
    assert (audit.finished, audit.not_finished, audit.problems) == (3, [], [])
    assert all(
        len(keys) == {"ntag424": 5, "desfire": 4, "javacard": 4}[kind.name] for keys in audit.keys.values()
    )


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No syncs, where it is the card that fails and not the power."""
    real = journal_module.write_line
    monkeypatch.setattr(
        journal_module, "write_line", lambda descriptor, raw, *, sync: real(descriptor, raw, sync=False)
    )


@by_kind
@pytest.mark.parametrize("takes_effect", [True, False])
@pytest.mark.usefixtures("quick_disk")
def test_a_card_torn_at_any_command_is_finished_when_put_back(
    tmp_path_factory: pytest.TempPathFactory, kind: Kind, takes_effect: bool
) -> None:
    total = commands_of_a_whole_run(tmp_path_factory.mktemp("whole"), kind)
    assert total > 20
    for command in range(1, total + 1):
        batch = a_batch(tmp_path_factory.mktemp("torn"), kind, ENROLS)
        (card,) = blank_cards(kind, 1)
        card.tear_at(command, takes_effect=takes_effect)
        first, last = batch.run(Hand([card], puts=2))

        assert first.result is Result.INTERRUPTED, command
        assert last.result is Result.FINISHED, (command, last.words)
        assert not any(is_default(key) for key in keys_on(card)), command
        assert audit_job(batch.directory / "work", batch.job).problems == []
        assert len(batch.node.requests) == 1


class Killed(BaseException):
    """The process ends here: no handler of the program sees it."""


def killed_at(monkeypatch: pytest.MonkeyPatch, write: int, how: str) -> None:
    """Let the process die at the so-manieth write to any journal: before it, in the middle, or after."""
    real, left = journal_module.write_line, [write]

    def dying(descriptor: int, raw: bytes, *, sync: bool) -> None:
        left[0] -= 1
        if left[0] == 0:
            if how == "half":
                real(descriptor, raw[: len(raw) // 2], sync=sync)
            elif how == "after":
                real(descriptor, raw, sync=sync)
            raise Killed
        real(descriptor, raw, sync=sync)

    monkeypatch.setattr(journal_module, "write_line", dying)


@by_kind
@pytest.mark.parametrize("how", ["before", "half", "after"])
@pytest.mark.usefixtures("quick_disk")
def test_a_program_killed_at_any_write_to_a_journal_is_resumed(
    tmp_path_factory: pytest.TempPathFactory, kind: Kind, how: str
) -> None:
    batch = a_batch(tmp_path_factory.mktemp("whole"), kind, ENROLS)
    writes = 0
    with pytest.MonkeyPatch.context() as patch:
        real = journal_module.write_line

        def counting(descriptor: int, raw: bytes, *, sync: bool) -> None:
            nonlocal writes
            writes += 1
            real(descriptor, raw, sync=sync)

        patch.setattr(journal_module, "write_line", counting)
        batch.run(Hand(blank_cards(kind, 1)))
    assert writes > 15

    for write in range(1, writes + 1):
        batch = a_batch(tmp_path_factory.mktemp("killed"), kind, ENROLS)
        (card,) = blank_cards(kind, 1)
        with pytest.MonkeyPatch.context() as patch:
            killed_at(patch, write, how)
            with pytest.raises(Killed):
                batch.run(Hand([card]))
        batch.run(Hand([card]))

        audit = audit_job(batch.directory / "work", batch.job)
        assert (audit.finished, audit.problems) == (1, []), write
        assert not any(is_default(key) for key in keys_on(card)), write
        assert len(batch.node.requests) == 1, "enrolled twice"


def test_whatever_changes_on_a_card_was_announced_and_synced_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = a_batch(tmp_path, NTAG)
    (card,) = blank_cards(NTAG, 1)
    journal = tmp_path / "work" / "cards" / f"{FIRST}.jsonl"
    synced: list[bytes] = []
    real_sync, real_transmit, changes = os.fsync, card.transmit, 0

    def syncing(descriptor: int) -> None:
        real_sync(descriptor)
        synced.append(journal.read_bytes() if journal.exists() else b"")

    def content() -> object:
        memory = card.memory
        return [slot.value for slot in memory.keys], repr(memory.files)

    def transmit(apdu: bytes) -> bytes:
        nonlocal changes
        before = content()
        answer = real_transmit(apdu)
        if content() != before:
            changes += 1
            assert b'"what":"begun"' in synced[-1].splitlines()[-1]
            assert journal.read_bytes() == synced[-1], "what is announced is not on the disk"
        return answer

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(card, "transmit", transmit)
    (outcome,) = batch.run(Hand([card]))
    assert (outcome.result, changes > 7) == (Result.FINISHED, True), outcome


def test_a_finished_card_put_on_again_is_left_as_it_is(tmp_path: Path) -> None:
    batch = a_batch(tmp_path, NTAG, cards=2)
    (card,) = blank_cards(NTAG, 1)
    batch.run(Hand([card]))
    memory = repr(card.memory)
    (again,) = batch.run(Hand([card]))

    assert (again.result, again.words) == (Result.FINISHED, "It was finished before.")
    assert repr(card.memory) == memory


def test_a_living_card_of_another_job_is_not_probed(tmp_path: Path) -> None:
    (card,) = blank_cards(NTAG, 1)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    a_batch(tmp_path / "one", NTAG).run(Hand([card]))
    other = a_batch(tmp_path / "two", NTAG, head="# another order\n")
    (outcome,) = other.run(Hand([card]))

    assert outcome.result is Result.NOT_TAKEN
    assert "already" in outcome.words
    assert not any(slot.total_failures for slot in card.memory.keys)


def test_wrong_keys_are_counted_over_all_visits_also_of_killed_programs(tmp_path: Path) -> None:
    batch = a_batch(tmp_path, NTAG)
    (card,) = blank_cards(NTAG, 1)
    for _ in range(MAX_WRONG_KEYS_PER_CARD // MAX_WRONG_KEYS):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("cards.jobs.runner.run_steps", _killed)
            with pytest.raises(Killed):
                batch.run(Hand([card]))
    seen = card.commands_seen
    (outcome,) = batch.run(Hand([card]))

    assert outcome.result is Result.SET_ASIDE
    assert "wrong keys" in outcome.words
    assert card.commands_seen - seen < 5, "the card was worked on although the cap was reached"


def _killed(*_: object) -> None:
    raise Killed


def test_the_number_of_a_card_set_aside_goes_to_the_next_chip(tmp_path: Path) -> None:
    batch = a_batch(tmp_path, DESFIRE)
    foreign, good = blank_cards(DESFIRE, 2)
    foreign.memory.picc.keys[0].value = b"a key of others!"
    first, second = batch.run(Hand([foreign, good]))

    assert (first.result, second.result) == (Result.SET_ASIDE, Result.FINISHED)
    assert first.number == second.number == FIRST
    audit = audit_job(tmp_path / "work", batch.job)
    assert (audit.finished, list(audit.set_aside), audit.problems) == (1, [first.uid], [])


def test_a_card_that_fails_again_and_again_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cards.profiles.steps import NotAccepted

    def refusing(*_: object) -> None:
        raise NotAccepted("Its label reads otherwise.")

    monkeypatch.setattr("cards.jobs.recipes.Recipe.read_back", refusing)
    batch = a_batch(tmp_path, NTAG)
    outcomes = batch.run(Hand(blank_cards(NTAG, 1), puts=MAX_FAILED_VISITS))

    assert [outcome.result for outcome in outcomes] == [
        *[Result.FAILED] * (MAX_FAILED_VISITS - 1),
        Result.SET_ASIDE,
    ]


def test_cards_made_while_the_node_is_away_are_enrolled_later_once(tmp_path: Path) -> None:
    batch = a_batch(tmp_path, NTAG, ENROLS, cards=2)
    batch.node.away = True
    outcomes = batch.run(Hand(blank_cards(NTAG, 2)))
    assert [outcome.result for outcome in outcomes] == [Result.NOT_ENROLLED] * 2
    assert audit_job(tmp_path / "work", batch.job).finished == 0

    batch.node.away, batch.node.answers_lost = False, 1
    lost = batch.run(Hand([]))
    assert [outcome.result for outcome in lost] == [Result.NOT_ENROLLED], "it waits at the first that must"
    outcomes = batch.run(Hand([]))
    assert [outcome.result for outcome in outcomes] == [Result.FINISHED] * 2
    assert len(batch.node.requests) == 2


@by_kind
def test_cards_in_the_field_are_renewed_and_keep_their_numbers(tmp_path: Path, kind: Kind) -> None:
    cards = blank_cards(kind, 2)
    (tmp_path / "one").mkdir()
    a_batch(tmp_path / "one", kind, cards=2).run(Hand(cards))
    (tmp_path / "two").mkdir()
    renewal = a_batch(
        tmp_path / "two",
        kind,
        "from_version = 1\n" + ENROLS,
        cards=2,
        head='action = "rotate"\n',
        version=2,
    )
    outcomes = renewal.run(Hand(list(reversed(cards))))

    assert [outcome.result for outcome in outcomes] == [Result.FINISHED] * 2
    assert [outcome.number for outcome in outcomes] == ["6104000000018", "6104000000017"]
    assert all(card.renewed and card.key_version == 2 for card in renewal.node.requests.values())


@by_kind
@pytest.mark.parametrize("takes_effect", [True, False])
@pytest.mark.usefixtures("quick_disk")
def test_a_card_torn_at_any_command_of_its_renewal_is_finished_and_told_no_key(
    tmp_path_factory: pytest.TempPathFactory, kind: Kind, takes_effect: bool
) -> None:
    def in_the_field() -> Any:
        (card,) = blank_cards(kind, 1)
        a_batch(tmp_path_factory.mktemp("made"), kind).run(Hand([card]))
        return card

    def renewal() -> Batch:
        more, head = "from_version = 1\n" + ENROLS, 'action = "rotate"\n'
        return a_batch(tmp_path_factory.mktemp("renewed"), kind, more, head=head, version=2)

    card = in_the_field()
    before = card.commands_seen
    renewal().run(Hand([card]))
    total = card.commands_seen - before
    assert total > 15
    for command in range(1, total + 1):
        card, batch = in_the_field(), renewal()
        old = keys_on(card)
        card.tear_at(command, takes_effect=takes_effect)
        first, last = batch.run(Hand([card], puts=2))

        assert first.result is Result.INTERRUPTED, command
        assert last.result is Result.FINISHED, (command, last.words)
        assert not any(is_default(key) for key in keys_on(card)), command
        assert not any(key in old for key in keys_on(card)), "a key of the version before was left"
        said = "\n".join(path.read_text() for path in (batch.directory / "work").rglob("*.jsonl"))
        said += "\n".join(batch.trace) + repr(batch.outcomes)
        said = said.replace(" ", "").lower()
        for raw in (key.raw.hex() for key in (*old, *keys_on(card))):
            assert not any(raw[at : at + 8] in said for at in range(0, len(raw) - 7, 2)), command


@by_kind
def test_no_key_byte_shows_in_journal_trace_outcome_or_request(tmp_path: Path, kind: Kind) -> None:
    batch = a_batch(tmp_path, kind, ENROLS)
    (card,) = blank_cards(kind, 1)
    card.tear_at(25, takes_effect=True)
    batch.run(Hand([card], puts=2))

    said = "\n".join(path.read_text() for path in sorted((tmp_path / "work").rglob("*.jsonl")))
    said += "\n".join(batch.trace) + repr(batch.outcomes) + repr(batch.node.requests) + repr(batch.keys)
    said = said.replace(" ", "").lower()
    secret = [key.raw.hex() for key in keys_on(card)]
    secret += [issuer(ring.domain).key.raw.hex() for ring in (batch.keys.management, batch.keys.verification)]
    assert len(secret) > 4
    for key in secret:
        # Any four bytes in a row; a check value has three.
        assert not any(key[at : at + 8] in said for at in range(0, len(key) - 7, 2))


def test_two_programs_do_not_work_on_one_job(tmp_path: Path) -> None:
    batch = a_batch(tmp_path, NTAG)

    def again(_: object) -> None:
        with pytest.raises(journal_module.JournalInUse, match="another program"):
            Batch(batch.directory, batch.job, batch.keys).run(Hand([]))

    batch.run(Hand([]), then=again)
