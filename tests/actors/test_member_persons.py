"""Personal data lies sealed and apart, changes as asked, and is gone when it is erased."""

from __future__ import annotations

import msgspec
import pytest
import structlog

from node.identity.keys import SecretKey
from node.ledger.refusals import Reason
from node.programme.model import EarningRule, Rate
from node.proto.vafa.common.v1.identifier_pb2 import Identifier
from node.proto.vafa.member.v1 import member_service_pb2 as pb
from node.proto.vafa.member.v1.person_pb2 import CalendarDate, Consent, Person
from node.proto.vafa.pos.v1 import earning_pb2, inquiry_pb2
from node.storage.keyspace import Kind
from node.wire.commands import Op
from node.wire.parse import canonical_hash
from tests.actors.harness import PROGRAMME, TILL, Actors, body_of, by_id, card, phone, reason_of

FATEMEH = Person(
    given_name="فاطمه‌زهرا",
    family_name="احمدی‌نیا",
    phone="۰۹۱۲ ۳۴۵ ۶۷۸۹",
    email="fatemeh@example.ir",
    birth_date=CalendarDate(calendar=2, date="۱۳۶۸/۰۵/۱۲"),  # type: ignore[arg-type]  # numbers of the protos, some unknown
    locale="fa_ir",
    consents=[Consent(channel=1, purpose=2, granted=True, source="form", text_version="3")],  # type: ignore[arg-type]  # numbers of the protos, some unknown
    source="till-7",
)
SECRETS = ("فاطمه", "احمدی", "۰۹۱۲", "09123456789", "9123456789", "fatemeh", "example.ir", "1368", "۱۳۶۸")


def assert_nowhere(actors: Actors, *logged: str) -> None:
    """No secret is in any key, value or line of a log."""
    for secret in SECRETS:
        for key, value in actors.everything():
            assert secret.encode() not in key + value, (secret, Kind(key[1]).name)
        for line in logged:
            assert secret not in line


async def updated(actors: Actors, person: Person, *paths: str) -> Reason | None:
    request = pb.UpdatePersonRequest(identifier=card(1), person=person)
    request.update_mask.paths.extend(paths)
    return reason_of(await actors.tell(Op.UPDATE_PERSON, actors.stamped(request)))


async def test_what_is_known_of_a_person_is_shown_to_staff_as_it_was_given(actors: Actors) -> None:
    await actors.enrol(card(1), person=FATEMEH, caller=TILL)
    person = (await actors.member(card(1))).person
    assert (person.given_name, person.family_name, person.phone) == ("فاطمه‌زهرا", "احمدی‌نیا", "۰۹۱۲ ۳۴۵ ۶۷۸۹")
    assert (person.birth_date.calendar, person.birth_date.date) == (2, "1368-05-12")
    assert (person.email, person.locale, person.source) == ("fatemeh@example.ir", "fa-IR", "till-7")
    (consent,) = person.consents
    assert consent.time.ToMilliseconds() == actors.now_ms
    actors.restart()
    assert (await actors.member(card(1))).person == person


async def test_a_till_learns_enough_of_a_name_to_greet_by(actors: Actors) -> None:
    await actors.enrol(card(1), person=FATEMEH)
    answer = inquiry_pb2.IdentifyResponse.FromString(body_of(await actors.identify(card(1))))
    assert (answer.display_name, answer.locale) == ("فاطمه‌زهرا ا…", "fa-IR")


async def test_personal_data_is_nowhere_but_sealed(
    actors: Actors, capsys: pytest.CaptureFixture[str]
) -> None:
    with structlog.testing.capture_logs() as logs:
        account_id = await actors.enrol(card(1), phone(3_456_789), person=FATEMEH, caller=TILL)
        await actors.identify(phone(3_456_789))
        await updated(actors, Person(given_name="فاطمه"))
        await updated(actors, Person(email="fatemeh example.ir"))
        await actors.set_aside(bytes.fromhex(account_id))
        await actors.release(bytes.fromhex(account_id))
        await actors.deliver()
    captured = capsys.readouterr()
    assert len(list(actors.stored(Kind.PERSON))) == 1
    assert logs  # the fault was logged
    assert_nowhere(actors, str(logs), captured.out, captured.err)


async def test_an_erased_person_is_gone_and_the_books_are_whole(actors: Actors) -> None:
    account_id = await actors.enrol(card(1), phone(1), person=FATEMEH)
    await actors.buys(card(1), 50)
    actors.now_ms += 1_000
    await actors.tell(Op.ERASE_PERSON, actors.stamped(pb.ErasePersonRequest(identifier=card(1))))
    assert actors.erased == [bytes.fromhex(account_id)]
    await actors.deliver()
    assert list(actors.stored(Kind.PERSON)) == list(actors.stored(Kind.PERSON_KEY)) == []
    member = await actors.member(by_id(account_id))
    assert (member.status, member.HasField("person"), list(member.identifiers)) == ("erased", False, [])
    assert not any(link.hint for account in actors.accounts().values() for link in account.links)
    assert await actors.points(by_id(account_id)) == 50
    for shown in (card(1), phone(1)):
        assert reason_of(await actors.identify(shown)) is Reason.MEMBER_NOT_FOUND
    change = pb.UpdatePersonRequest(identifier=by_id(account_id), person=FATEMEH)
    assert reason_of(await actors.tell(Op.UPDATE_PERSON, actors.stamped(change))) is Reason.ACCOUNT_CLOSED
    assert_nowhere(actors)
    actors.assert_whole()
    assert await actors.enrol(card(1), phone(1), person=FATEMEH) != account_id  # welcome back


async def test_a_closed_account_is_erased_too_and_an_account_without_a_person_is_not(actors: Actors) -> None:
    account_id = await actors.enrol(card(1), person=FATEMEH)
    actors.now_ms += 1_000
    body_of(await actors.tell(Op.CLOSE_ACCOUNT, actors.stamped(pb.CloseAccountRequest(identifier=card(1)))))
    erase = pb.ErasePersonRequest(identifier=by_id(account_id))
    body_of(await actors.tell(Op.ERASE_PERSON, actors.stamped(erase)))
    assert list(actors.stored(Kind.PERSON)) == []
    bearer = actors.stamped(pb.EnrolRequest(kind=pb.ACCOUNT_KIND_BEARER, identifiers=[card(2)]))
    body_of(await actors.tell(Op.ENROL, bearer))
    for who in (card(2), by_id(await actors.pool())):
        request = pb.ErasePersonRequest(identifier=who)
        answer = await actors.tell(Op.ERASE_PERSON, actors.stamped(request))
        assert reason_of(answer) is Reason.WRONG_ACCOUNT_KIND


async def test_without_a_mask_all_that_is_not_empty_changes(actors: Actors) -> None:
    await actors.enrol(card(1), person=FATEMEH)
    assert await updated(actors, Person(family_name="Ahmadi", source="elsewhere")) is None
    person = (await actors.member(card(1))).person
    assert (person.given_name, person.family_name, person.source) == ("فاطمه‌زهرا", "Ahmadi", "till-7")


async def test_a_mask_says_what_changes_and_what_is_taken_away(actors: Actors) -> None:
    await actors.enrol(card(1), person=FATEMEH)
    assert await updated(actors, Person(given_name="X", family_name="Y"), "family_name", "birth_date") is None
    person = (await actors.member(card(1))).person
    assert (person.given_name, person.family_name) == ("فاطمه‌زهرا", "Y")
    assert not person.HasField("birth_date")
    assert await updated(actors, Person(given_name="Z"), "*") is None
    person = (await actors.member(card(1))).person
    assert (person.given_name, person.family_name, person.phone, person.email) == ("Z", "", "", "")
    assert len(person.consents) == 1  # what was once agreed to is never taken out of the record


async def test_consents_are_added_to_those_known(actors: Actors) -> None:
    await actors.enrol(card(1), person=FATEMEH)
    actors.now_ms += 1_000
    assert await updated(actors, Person(consents=[Consent(channel=1, purpose=2, source="app")])) is None  # type: ignore[arg-type]  # numbers of the protos, some unknown
    assert [one.granted for one in (await actors.member(card(1))).person.consents] == [True, False]


async def test_of_a_member_without_a_person_the_first_is_learned_later(actors: Actors) -> None:
    await actors.enrol(card(1))
    assert not (await actors.member(card(1))).HasField("person")
    assert await updated(actors, FATEMEH) is None
    assert (await actors.member(card(1))).person.given_name == "فاطمه‌زهرا"


async def test_one_bad_detail_changes_nothing(actors: Actors) -> None:
    await actors.enrol(card(1), person=FATEMEH)
    before = (await actors.member(card(1))).person
    bad = [
        (Person(birth_date=CalendarDate(date="2999-01-01")), ()),
        (Person(birth_date=CalendarDate(calendar=7, date="1368-05-12")), ()),  # type: ignore[arg-type]  # numbers of the protos, some unknown
        (Person(birth_date=CalendarDate(date="5/12/1989")), ()),
        (Person(email="nobody"), ()),
        (Person(given_name="x" * 300), ()),
        (Person(given_name="a\x00b"), ()),
        (Person(locale="!"), ()),
        (Person(consents=[Consent(purpose=2)]), ()),  # type: ignore[arg-type]  # numbers of the protos, some unknown
        (Person(consents=[Consent(channel=1)]), ()),  # type: ignore[arg-type]  # numbers of the protos, some unknown
        (Person(consents=[Consent(channel=1, purpose=2, granted=True)]), ()),  # type: ignore[arg-type]  # numbers of the protos, some unknown
        (Person(consents=[Consent(channel=99, purpose=2)]), ()),  # type: ignore[arg-type]  # numbers of the protos, some unknown
        (Person(consents=[Consent(channel=1, purpose=2)] * 65), ()),  # type: ignore[arg-type]  # numbers of the protos, some unknown
        (Person(given_name="Y"), ("source",)),
        (Person(given_name="Y"), ("birth_date.date",)),
        (Person(given_name="Y"), ("*", "phone")),
    ]
    for person, paths in bad:
        person = Person.FromString(person.SerializeToString())
        person.family_name = "Y"
        assert await updated(actors, person, *paths) is Reason.INVALID_ARGUMENT, person
    later = Consent(channel=1, purpose=2, granted=True, text_version="1")  # type: ignore[arg-type]  # numbers of the protos, some unknown
    later.time.FromMilliseconds(actors.now_ms + 1)
    assert await updated(actors, Person(consents=[later])) is Reason.INVALID_ARGUMENT
    assert (await actors.member(card(1))).person == before


async def test_data_that_no_longer_opens_keeps_nobody_from_shopping(actors: Actors) -> None:
    """A restored store with another master key."""
    await actors.enrol(card(1), person=FATEMEH)
    for shard in actors.shards:
        shard._desk.vault._master = SecretKey(b"x" * 32)  # type: ignore[union-attr]  # these shards have a vault
    body_of(await actors.buys(card(1), 50))
    answer = inquiry_pb2.IdentifyResponse.FromString(body_of(await actors.identify(card(1))))
    assert (answer.display_name, answer.balances[0].spendable) == ("", 50)
    request = pb.GetMemberRequest(identifier=card(1))
    assert reason_of(await actors.tell(Op.GET_MEMBER, request)) is Reason.INTERNAL
    assert await updated(actors, FATEMEH) is Reason.INTERNAL


SPEAKING = msgspec.structs.replace(
    PROGRAMME,
    version=2,
    rules=(
        EarningRule(
            "base",
            Rate(1, 100),
            "points",
            receipt_text=(("ar", "{units} نقطة"), ("en", "{units} points"), ("fa", "{units} امتیاز")),
        ),
    ),
)


async def receipt_text(actors: Actors, who: Identifier) -> str:
    answer = earning_pb2.AccrueResponse.FromString(body_of(await actors.buys(who, 7)))
    return answer.effects[0].receipt_text


async def test_a_receipt_speaks_the_members_language_as_long_as_the_node_knows_it() -> None:
    actors = Actors(3, SPEAKING)
    await actors.enrol(card(1), person=FATEMEH)
    await actors.enrol(card(2), person=Person(given_name="Ali"))
    assert await receipt_text(actors, card(1)) == "7 امتیاز"
    assert await receipt_text(actors, card(2)) == "7 points", "the merchant's"
    assert await updated(actors, Person(locale="ar-EG"), "locale") is None
    assert await receipt_text(actors, card(1)) == "7 نقطة"
    assert await updated(actors, Person(given_name="زهرا"), "given_name") is None
    actors.restart()
    assert await receipt_text(actors, card(1)) == "7 نقطة"
    assert await updated(actors, Person(), "locale") is None
    assert await receipt_text(actors, card(1)) == "7 points"
    actors.assert_whole()


async def test_what_is_kept_of_a_request_cannot_be_found_by_trying_all_phone_numbers(actors: Actors) -> None:
    await actors.enrol(phone(1))
    sale = earning_pb2.AccrueRequest(identifier=phone(1))
    sale.purchase.total.currency, sale.purchase.total.minor = "USD", 100
    body_of(await actors.at_till(Op.ACCRUE, actors.stamped(sale)))
    tried = canonical_hash(sale)
    assert isinstance(tried, bytes)
    assert any(actors.stored(Kind.REQUEST))
    for key, value in actors.everything():
        assert tried not in key + value, Kind(key[1]).name
