"""The home node speaks with the card through the till, which is a pipe and holds no key.

NTAG 424 DNA and DESFire: select, ask the key's version, AuthenticateEV2First with the sale key, then
WriteData of the sale's digest, MACed in both directions. The card's MAC on the last answer proves that the
card of the session took exactly this digest: the till can neither make another nor change this one. JavaCard:
select the applet, then its cryptogram over the sale with the node's own nonce.

A card that fails is asked a little more, so that its refusal has the right name: what it says of itself to
anybody tells another card from a copy of this one, and an applet that does better the second time was cut in
on the first. None of that proves anything, and no session that came there ends well.

A session is frozen data that its caller keeps in memory, for one use: each answer of the card makes the next
one, and what ended is gone. It is bound to one sale, so to merchant, terminal and amount.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum

from cards.apdu import ApduMalformed, CardRefused, Command, Response, StatusWord, parse_response
from cards.ev2 import (
    Challenge,
    CommMode,
    HandshakeFailed,
    MessagingBroken,
    Session,
    answer_challenge,
    finish_first,
    native,
    start_first,
    unwrap,
    wrap,
)
from cards.keys import CardKey, CardProfile, KeyRing, Purpose, card_key
from cards.profiles import desfire, javacard, ntag424
from cards.profiles.address import label_in, parse_ndef_file
from cards.profiles.label import CardLabel, LabelUnreadable, parse_label
from cards.verification.applet import internal_authenticate, parse_answer, verify_applet
from cards.verification.counters import CounterWindow
from cards.verification.outcome import CardRecord, CardRefusal, Method, Proven, Refused, proof_id
from cards.verification.records import accepted_issuer, refused_record
from cards.verification.sale import ExpectedSale, Sale, parse_sale

SESSION_TTL_MS = 15_000
"""From the first command to the last answer: five exchanges over a slow line, and no time to carry a card
away.
"""

_SALE_KEY, _SALE_FILE = ntag424.SALE_KEY, ntag424.SALE_FILE
"""The same on DESFire, so that one conversation serves both."""
_INS_KEY_VERSION, _INS_WRITE = 0x64, 0x8D
_DIGEST_BYTES = 32


class Stage(Enum):
    """Which answer of the card is awaited."""

    SELECT = "select"
    KEY_VERSION = "key version"
    CHALLENGE = "challenge"
    PROOF = "proof"
    SALE = "sale"
    CRYPTOGRAM = "cryptogram"
    CRYPTOGRAM_AGAIN = "cryptogram again"
    ADDRESS_FILE = "address file"
    LABEL = "label"


@dataclass(frozen=True, slots=True)
class OnlineSession:
    """One conversation with one card about one sale."""

    session_id: bytes
    record: CardRecord
    ring: KeyRing
    sale: Sale
    expires_ms: int
    stage: Stage
    seen: CounterWindow
    rnd_a: bytes = field(repr=False)
    key_version: int = 0
    key: CardKey | None = None
    challenge: Challenge | None = None
    messaging: Session | None = None


@dataclass(frozen=True, slots=True)
class Next:
    """Send `apdu` to the card, and bring its answer to `advance` with `session`."""

    session: OnlineSession
    apdu: bytes = field(repr=False)


Step = Next | Proven | Refused


def begin(
    record: CardRecord,
    ring: KeyRing,
    sale: Sale,
    *,
    session_id: bytes,
    rnd_a: bytes,
    now_ms: int,
    seen: CounterWindow | None = None,
    ttl_ms: int = SESSION_TTL_MS,
) -> Next | Refused:
    """The first command for the card of `record`. `session_id` and `rnd_a` are 16 bytes of chance each.

    `seen` are the counters of the card's applet so far; other cards have none. `ring` holds verification
    keys.
    """
    if (refused := refused_record(record, ring)) is not None:
        return refused
    session = OnlineSession(
        session_id, record, ring, sale, now_ms + ttl_ms, Stage.SELECT, seen or CounterWindow(), rnd_a
    )
    return Next(session, _selection(record.identity.profile).encode())


def advance(session: OnlineSession, answer: bytes, sale: Sale, *, now_ms: int) -> Step:
    """What follows from the card's answer. `sale` is the one that the till is at, and must be the session's.

    Anything but `Next` ends the session: the caller forgets it, whatever the outcome, before it acts.
    """
    if now_ms >= session.expires_ms:
        return Refused(CardRefusal.EXPIRED_SESSION)
    if sale != session.sale:
        return Refused(CardRefusal.WRONG_SALE)
    try:
        return _STAGES[session.stage](session, parse_response(answer))
    except ApduMalformed:
        return Refused(CardRefusal.MALFORMED)
    except HandshakeFailed:
        return _whose(session)
    except MessagingBroken:
        return Refused(CardRefusal.TAMPERED)
    except LabelUnreadable:
        return Refused(CardRefusal.FOREIGN_CARD)
    except CardRefused as refusal:
        if session.stage is Stage.PROOF and refusal.status == StatusWord.DF_AUTHENTICATION_ERROR:
            return _whose(session)
        return Refused(_REASONS.get(refusal.status, CardRefusal.CARD_ERROR))


_REASONS: dict[int, CardRefusal] = {
    StatusWord.NOT_FOUND: CardRefusal.FOREIGN_CARD,
    StatusWord.FILE_INVALIDATED: CardRefusal.BLOCKED_CARD,
    StatusWord.CONDITIONS_NOT_SATISFIED: CardRefusal.FOREIGN_CARD,
    StatusWord.NO_SPACE: CardRefusal.BLOCKED_CARD,
    StatusWord.DF_APPLICATION_NOT_FOUND: CardRefusal.FOREIGN_CARD,
    StatusWord.DF_NO_SUCH_KEY: CardRefusal.FOREIGN_CARD,
    StatusWord.DF_FILE_NOT_FOUND: CardRefusal.FOREIGN_CARD,
    StatusWord.DF_AUTHENTICATION_ERROR: CardRefusal.CLONED_CARD,
    StatusWord.DF_INTEGRITY_ERROR: CardRefusal.TAMPERED,
    StatusWord.DF_AUTHENTICATION_DELAY: CardRefusal.CARD_BUSY,
    StatusWord.DF_PERMISSION_DENIED: CardRefusal.BLOCKED_CARD,
}
"""What a status word means at a till. 6985 is an applet that was never personalised, 6A84 one whose counter
is used up, 919D a key that failed too often, or a file closed by retirement."""


def _selection(profile: CardProfile) -> Command:
    match profile:
        case CardProfile.NTAG424:
            return ntag424.select_application()
        case CardProfile.DESFIRE:
            return desfire.select_application()
        case CardProfile.JAVACARD:
            return javacard.select_application()


def _selected(session: OnlineSession, response: Response) -> Step:
    response.expect("select the application")
    if session.record.identity.profile is CardProfile.JAVACARD:
        command = internal_authenticate(session.sale.encode())
        return _next(replace(session, stage=Stage.CRYPTOGRAM), command)
    return _next(replace(session, stage=Stage.KEY_VERSION), _ask_version())


def _ask_version() -> Command:
    return native(_INS_KEY_VERSION, bytes((_SALE_KEY,)), name="version of the sale key")


def _versioned(session: OnlineSession, response: Response) -> Step:
    data = response.expect("version of the sale key")
    if len(data) != 1:
        return Refused(CardRefusal.MALFORMED)
    issuer = accepted_issuer(session.record, session.ring, data[0])
    if isinstance(issuer, Refused):
        return issuer
    key = card_key(issuer, Purpose.SALE, session.record.identity)
    known = replace(session, stage=Stage.CHALLENGE, key=key, key_version=issuer.version)
    return _next(known, start_first(_SALE_KEY))


def _challenged(session: OnlineSession, response: Response) -> Step:
    assert session.key is not None
    encrypted = response.expect("authenticate", StatusWord.DF_ADDITIONAL_FRAME)
    challenge, command = answer_challenge(session.key, _SALE_KEY, session.rnd_a, encrypted)
    return _next(replace(session, stage=Stage.PROOF, challenge=challenge), command)


def _authenticated(session: OnlineSession, response: Response) -> Step:
    assert session.challenge is not None
    messaging = finish_first(session.challenge, response.expect("authenticate, second part"))
    header = bytes((_SALE_FILE,)) + bytes(3) + _DIGEST_BYTES.to_bytes(3, "little")
    command = native(_INS_WRITE, header, session.sale.digest(), name="bind the sale")
    bound = replace(session, stage=Stage.SALE, messaging=messaging)
    return _next(bound, wrap(messaging, command, len(header), CommMode.MAC))


def _bound(session: OnlineSession, response: Response) -> Step:
    assert session.messaging is not None
    unwrap(session.messaging, response, CommMode.MAC, title="bind the sale")
    return Proven(
        method=Method.ONLINE,
        merchant=session.record.merchant,
        alias=session.record.identity.alias,
        key_version=session.key_version,
        sale_digest=session.sale.digest(),
        counter=None,
        proof_id=proof_id(Method.ONLINE, session.record, session.session_id),
    )


def _computed(session: OnlineSession, response: Response) -> Step:
    outcome = _cryptogram(session, response)
    if isinstance(outcome, Refused) and outcome.reason is CardRefusal.BAD_CRYPTOGRAM:
        again = internal_authenticate(session.sale.encode())
        return _next(replace(session, stage=Stage.CRYPTOGRAM_AGAIN), again)
    return outcome


def _computed_again(session: OnlineSession, response: Response) -> Step:
    outcome = _cryptogram(session, response)
    if isinstance(outcome, Proven):
        return Refused(CardRefusal.TAMPERED)
    return _whose(session) if outcome.reason is CardRefusal.BAD_CRYPTOGRAM else outcome


def _cryptogram(session: OnlineSession, response: Response) -> Proven | Refused:
    answer = parse_answer(response.expect("prove the sale"))
    if answer is None:
        return Refused(CardRefusal.MALFORMED)
    sale = session.sale
    # The bytes are the session's own, so the nonce is bound as well: an old cryptogram is no answer.
    expected = ExpectedSale(sale.acquirer, sale.amount, sale.unit, sale.terminal)
    return verify_applet(
        session.record, session.ring, parse_sale(sale.encode()), answer, expected, session.seen
    )


def _whose(session: OnlineSession) -> Next:
    """The card does not hold the key: asks what it says of itself."""
    match session.record.identity.profile:
        case CardProfile.NTAG424:
            return _next(replace(session, stage=Stage.ADDRESS_FILE), ntag424.select_address_file())
        case CardProfile.DESFIRE:
            return _next(replace(session, stage=Stage.LABEL), desfire.read_label_file())
        case CardProfile.JAVACARD:
            return _next(replace(session, stage=Stage.LABEL), javacard.get_applet_data(javacard.TAG_ALIAS))


def _address_file(session: OnlineSession, response: Response) -> Step:
    response.expect("select the address file")
    return _next(replace(session, stage=Stage.LABEL), ntag424.read_address_file())


def _labelled(session: OnlineSession, response: Response) -> Step:
    """Another card, or one that says it is this one and is not."""
    data, record = response.expect("read the label"), session.record
    label = CardLabel(record.merchant, record.identity.alias)
    match record.identity.profile:
        case CardProfile.NTAG424:
            same = label_in(parse_ndef_file(data)) == label
        case CardProfile.DESFIRE:
            same = parse_label(data) == label
        case CardProfile.JAVACARD:
            same = javacard.data_object(javacard.TAG_ALIAS, data) == label.alias.encode()
    return Refused(CardRefusal.CLONED_CARD if same else CardRefusal.FOREIGN_CARD)


_STAGES: dict[Stage, Callable[[OnlineSession, Response], Step]] = {
    Stage.SELECT: _selected,
    Stage.KEY_VERSION: _versioned,
    Stage.CHALLENGE: _challenged,
    Stage.PROOF: _authenticated,
    Stage.SALE: _bound,
    Stage.CRYPTOGRAM: _computed,
    Stage.CRYPTOGRAM_AGAIN: _computed_again,
    Stage.ADDRESS_FILE: _address_file,
    Stage.LABEL: _labelled,
}


def _next(session: OnlineSession, command: Command) -> Next:
    return Next(session, command.encode())
