from typing import Any

import pytest

from cards.apdu import CardError, CardRefused
from cards.keys import CardKey, is_default
from cards.profiles import ntag424
from cards.profiles.label import CardLabel, LabelUnreadable
from cards.profiles.steps import (
    CardNotOurs,
    CardUnexpected,
    DefaultKey,
    NotAccepted,
    Progress,
    Step,
    VersionedKey,
    run_steps,
)
from simulators.cards.card import CardTorn
from tests.cards.bureau import (
    ALIAS,
    DESFIRE,
    JAVACARD,
    KINDS,
    LABEL,
    NTAG,
    Bureau,
    Kind,
    a_bureau,
    a_members_card,
)

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


@every_kind
def test_a_blank_card_becomes_a_members_card_and_is_read_back(kind: Kind) -> None:
    bureau = a_members_card(kind)
    accepted = bureau.read_back()
    assert accepted.label == LABEL
    assert accepted.uid == kind.uid
    assert all(version == 1 and len(check) == 3 for version, check in accepted.keys)


@every_kind
def test_anybody_reads_whose_card_it_is_without_a_key(kind: Kind) -> None:
    bureau = a_members_card(kind)
    assert kind.module.read_label(bureau.visit()) == CardLabel("saffron", ALIAS)


@every_kind
def test_the_key_that_lets_one_back_in_is_changed_last(kind: Kind) -> None:
    bureau = a_members_card(kind)
    begun = [event for event in bureau.journal if event.progress is Progress.BEGUN]
    assert begun[-1].step in ("NTAG 424 DNA: key 0", "card: key 0", "domain keys")
    assert [event.step for event in bureau.journal if event.progress is Progress.DONE] == [
        event.step for event in begun
    ]


@every_kind
def test_a_finished_card_is_left_alone_by_another_run(kind: Kind) -> None:
    bureau = a_members_card(kind)
    bureau.journal.clear()
    bureau.personalise()
    assert {event.progress for event in bureau.journal} == {Progress.ALREADY_DONE}


def commands_of_a_whole_run(kind: Kind) -> int:
    bureau = a_bureau(kind)
    bureau.personalise()
    return bureau.card.commands_seen


@every_kind
@pytest.mark.parametrize("takes_effect", [False, True], ids=["before", "after"])
def test_a_card_torn_at_any_command_is_finished_by_another_run(kind: Kind, takes_effect: bool) -> None:
    whole = commands_of_a_whole_run(kind)
    assert whole > 20
    for at in range(1, whole + 1):
        bureau = a_bureau(kind)
        bureau.card.tear_at(at, takes_effect=takes_effect)
        with pytest.raises(CardTorn):
            bureau.personalise()
        bureau.personalise()
        assert bureau.read_back().label == LABEL, f"torn at command {at}"


@every_kind
@pytest.mark.parametrize("takes_effect", [False, True], ids=["before", "after"])
def test_a_rotation_torn_at_any_command_is_finished_by_another_run(kind: Kind, takes_effect: bool) -> None:
    plan = kind.plan(old=kind.keys(1), new=kind.keys(2))
    whole = a_members_card(kind)
    seen = whole.card.commands_seen
    whole.run(kind.module.rotate_keys(plan))
    for at in range(1, whole.card.commands_seen - seen + 1):
        bureau = a_members_card(kind)
        bureau.card.tear_at(at, takes_effect=takes_effect)
        with pytest.raises(CardTorn):
            bureau.run(kind.module.rotate_keys(plan))
        bureau.run(kind.module.rotate_keys(plan))
        assert {version for version, _ in bureau.read_back(plan).keys} == {2}


@every_kind
@pytest.mark.parametrize("takes_effect", [False, True], ids=["before", "after"])
def test_no_card_torn_on_its_way_is_accepted_while_it_holds_a_default_key(
    kind: Kind, takes_effect: bool
) -> None:
    whole = commands_of_a_whole_run(kind)
    for at in range(1, whole + 1, 3):
        bureau = a_bureau(kind)
        bureau.card.tear_at(at, takes_effect=takes_effect)
        with pytest.raises(CardTorn):
            bureau.personalise()
        if any(is_default(key) for key in keys_on(bureau)):
            with pytest.raises(CardError):
                bureau.read_back()
        else:
            bureau.personalise()
            assert bureau.read_back().label == LABEL


def keys_on(bureau: Bureau) -> list[CardKey]:
    """Every key in the card's memory, as nobody with a reader could see them."""
    memory = bureau.card.memory
    if bureau.kind is JAVACARD:
        applets = [CardKey(one.memory.key) for one in memory.instances.values() if one.memory.key]
        return [key for one in memory.key_sets.values() for key in one.keys] + applets
    if bureau.kind is NTAG:
        return [slot.key for slot in memory.keys]
    levels = [memory.picc, *memory.applications.values()]
    return [slot.key for level in levels for slot in level.keys]


@every_kind
def test_a_finished_card_holds_no_default_key_and_no_key_twice(kind: Kind) -> None:
    assert any(is_default(key) for key in keys_on(a_bureau(kind)))
    found = keys_on(a_members_card(kind))
    assert not any(is_default(key) for key in found)
    assert len({key.raw for key in found}) == len(found) >= 4


@every_kind
def test_a_blank_card_is_not_accepted(kind: Kind) -> None:
    with pytest.raises(CardError):
        a_bureau(kind).read_back()


@every_kind
def test_a_card_under_keys_of_nobody_here_is_left_as_it_is(kind: Kind) -> None:
    bureau = a_members_card(kind)
    foreign = kind.plan(old=kind.keys(3), new=kind.keys(4))
    before = bureau.card.memory.__class__
    with pytest.raises(CardNotOurs):
        bureau.run(kind.module.personalise(foreign))
    assert bureau.card.memory.__class__ is before
    assert bureau.read_back().label == LABEL


@pytest.mark.parametrize("kind", [NTAG, DESFIRE], ids=lambda kind: kind.name)
def test_a_visit_tries_few_wrong_keys_however_long_it_goes_on(kind: Kind) -> None:
    bureau = a_members_card(kind)
    visit = bureau.visit()
    foreign = kind.module.personalise(kind.plan(old=kind.keys(3), new=kind.keys(4)))
    for _ in range(10):
        with pytest.raises(CardNotOurs):
            foreign[0].is_done(visit)
    assert visit.wrong_keys == 4


def test_a_probe_of_a_javacard_uses_up_no_try() -> None:
    bureau = a_members_card(JAVACARD)
    for _ in range(20):
        with pytest.raises(CardNotOurs, match="No try"):
            bureau.run(JAVACARD.module.personalise(JAVACARD.plan(old=JAVACARD.keys(3), new=JAVACARD.keys(4))))
    assert all(keys.failures == 0 for keys in bureau.card.memory.key_sets.values())


@every_kind
def test_a_default_key_is_refused_before_anything_is_sent(kind: Kind) -> None:
    bureau = a_bureau(kind)
    bad = _with_a_default_key(kind)
    with pytest.raises(DefaultKey, match="Nothing was sent"):
        bureau.personalise(kind.plan(new=bad))
    assert bureau.card.commands_seen == 0


def _with_a_default_key(kind: Kind) -> Any:
    keys, zero = kind.keys(), VersionedKey(CardKey(bytes(16)), 1)
    if kind is NTAG:
        return (*keys[:4], zero)
    if kind is DESFIRE:
        return DESFIRE.module.Keys(keys.card, (*keys.application[:2], zero))
    return JAVACARD.module.Keys(keys.channel, zero)


@every_kind
def test_keys_made_for_another_alias_are_found_out_whatever_their_versions_say(kind: Kind) -> None:
    bureau = a_members_card(kind)
    other = kind.keys(alias="6104000000018")
    with pytest.raises((NotAccepted, CardNotOurs)):
        bureau.read_back(kind.plan(new=other))


def test_a_key_beside_a_true_master_is_used_before_it_is_believed() -> None:
    bureau = a_members_card(NTAG)
    bureau.card.memory.keys[3].value = bytes(range(7, 23))
    with pytest.raises(NotAccepted, match="Key 3 of the card"):
        bureau.read_back()


def test_a_javacard_that_kept_its_delivery_keys_is_not_accepted() -> None:
    from simulators.cards.globalplatform.memory import FACTORY_KEY, KeySet

    bureau = a_members_card(JAVACARD)
    bureau.card.memory.key_sets[0x7F] = KeySet(FACTORY_KEY, FACTORY_KEY, FACTORY_KEY)
    with pytest.raises(DefaultKey, match="delivery keys"):
        bureau.read_back()


@every_kind
def test_a_card_of_another_kind_is_told_apart(kind: Kind) -> None:
    for other in KINDS:
        if other.visit is kind.visit and other is not kind:
            with pytest.raises(CardError):
                kind.module.identify(a_bureau(other).visit())
    a_bureau(kind)
    assert kind.module.identify(a_bureau(kind).visit())


@pytest.mark.parametrize("kind", [NTAG, DESFIRE], ids=lambda kind: kind.name)
def test_a_card_with_a_random_uid_is_asked_for_the_real_one(kind: Kind) -> None:
    bureau = a_bureau(kind)
    assert kind.module.identify(bureau.visit()).uid == kind.uid
    bureau.card.memory.random_uid = True
    assert kind.module.identify(bureau.visit()).uid is None
    factory = kind.module.factory_keys()
    key = factory[0] if kind is NTAG else factory.card
    assert kind.module.ask_uid(bureau.visit(), key) == kind.uid


def _retirement(kind: Kind) -> Any:
    from cards.keys import Domain
    from tests.cards.bureau import issuer

    keys = kind.keys()
    if kind is NTAG:
        return kind.plan(old=keys, new=ntag424.retired_keys(issuer(Domain.MANAGEMENT), kind.identity()))
    return kind.plan(old=keys, new=keys)


@every_kind
def test_a_retired_card_says_nothing_and_is_accepted_no_more(kind: Kind) -> None:
    bureau = a_members_card(kind)
    bureau.run(kind.module.retire(_retirement(kind)))
    with pytest.raises((CardRefused, LabelUnreadable)):
        kind.module.read_label(bureau.visit())
    with pytest.raises(CardError):
        bureau.read_back()


@every_kind
@pytest.mark.parametrize("takes_effect", [False, True], ids=["before", "after"])
def test_a_retirement_torn_at_any_command_is_finished_by_another_run(kind: Kind, takes_effect: bool) -> None:
    whole = a_members_card(kind)
    seen = whole.card.commands_seen
    whole.run(kind.module.retire(_retirement(kind)))
    for at in range(1, whole.card.commands_seen - seen + 1):
        bureau = a_members_card(kind)
        bureau.card.tear_at(at, takes_effect=takes_effect)
        with pytest.raises(CardTorn):
            bureau.run(kind.module.retire(_retirement(kind)))
        bureau.journal.clear()
        bureau.run(kind.module.retire(_retirement(kind)))
        bureau.run(kind.module.retire(_retirement(kind)))
        assert bureau.journal[-1].progress is Progress.ALREADY_DONE


def test_a_retired_ntag_keeps_no_key_that_verifies_anything() -> None:
    bureau = a_members_card(NTAG)
    before = [slot.value for slot in bureau.card.memory.keys]
    bureau.run(ntag424.retire(_retirement(NTAG)))
    after = [slot.value for slot in bureau.card.memory.keys]
    assert after[0] == before[0]
    assert not set(after[1:]) & set(before)
    assert not any(bureau.card.memory.files[2].content)


@every_kind
def test_no_key_byte_shows_in_trace_or_journal(kind: Kind) -> None:
    bureau = a_members_card(kind)
    bureau.read_back()
    keys = kind.keys()
    secrets = [one.key.raw for one in (keys if kind is NTAG else keys.all)]
    text = "\n".join(bureau.trace) + repr(bureau.journal) + repr(kind.plan()) + repr(keys)
    packed = text.replace(" ", "").lower()
    for secret in secrets:
        assert secret.hex() not in packed
        assert repr(secret)[2:-1] not in text
        assert not any(secret[at : at + 6].hex() in packed for at in range(len(secret) - 5))
    assert "bytes hidden" in text


@every_kind
def test_the_journal_names_each_key_by_version_and_check_value(kind: Kind) -> None:
    bureau = a_members_card(kind)
    named = [event for event in bureau.journal if event.progress is Progress.DONE and event.key_version]
    assert len(named) == {"ntag424": 5, "desfire": 4, "javacard": 2}[kind.name]
    assert all(event.key_version == 1 and len(event.check_value or b"") == 3 for event in named)


def test_a_step_that_the_card_took_and_does_not_show_stops_the_run() -> None:
    step: Step[None] = Step("x", "Make it so", lambda visit: False, lambda visit: None)
    with pytest.raises(CardUnexpected, match="does not show it"):
        run_steps(None, [step])


def test_a_step_is_announced_before_the_card_is_touched() -> None:
    order: list[str] = []
    done: list[bool] = []

    def perform(visit: None) -> None:
        order.append("touched")
        done.append(True)

    step: Step[None] = Step("x", "Make it so", lambda visit: bool(done), perform)
    run_steps(None, [step], lambda event: order.append(event.progress.value))
    assert order == ["begun", "touched", "done"]


def test_what_is_stored_in_an_applet_is_hidden_though_the_channel_encrypts_it() -> None:
    # Under the factory's keys everybody could undo that.
    bureau = a_members_card(JAVACARD)
    lines = [line for line in bureau.trace if "store the applet's data" in line or "PUT KEY" in line]
    assert len(lines) == 2
    assert all("bytes hidden" in line for line in lines)
