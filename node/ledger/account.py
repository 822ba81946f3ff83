"""An account's state: who may use it and what its purses hold. Frozen; `evolve` makes the next one.

The structs are stored as they are (msgpack arrays), so fields are only ever appended, with defaults.
Dictionaries inside are never changed in place: a new state gets a new dictionary. Frozen structs form no
cycles, so the garbage collector need not walk them (`gc=False`): a shard holds thousands.
"""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct

from node.ledger.lots import NEVER_MS, Lots

COUNTER_DAYS = 60
"""How many local days of counters an account keeps behind the newest of them."""


class AccountKind(IntEnum):
    """What an account is; the numbers are those of the protos."""

    PERSONAL = 1
    POOL = 2
    BEARER = 3


class Status(IntEnum):
    """Whether an account can be used. A quarantined account is marked by the shard, not here: quarantine
    is a fault of the machine's, not an act on the account."""

    ACTIVE = 1
    BLOCKED = 2
    CLOSED = 3


class Purse(Struct, frozen=True, array_like=True, gc=False):
    """One typed balance. The sums are kept beside the lots so that a balance costs nothing to read.

    `spendable` is the sum of `lots` less `debt`; `debt` is above 0 only while the purse is below zero.
    `held` is reserved by open authorizations, whose lots rest with the hold.
    """

    lots: Lots = ()
    pending_lots: Lots = ()
    debt: int = 0
    spendable: int = 0
    pending: int = 0
    held: int = 0

    @property
    def owned(self) -> int:
        """Everything the merchant owes on this purse: spendable, pending and held."""
        return self.spendable + self.pending + self.held


EMPTY_PURSE = Purse()


class Taken(Struct, frozen=True, array_like=True):
    """Units taken from one purse: the very lots, and what went below zero."""

    purse: str
    lots: Lots
    debt: int = 0

    @property
    def units(self) -> int:
        """The units taken in all."""
        return sum(lot.units for lot in self.lots) + self.debt


class Hold(Struct, frozen=True, array_like=True):
    """Units reserved by an authorization, one part a purse; `hold_id` is the sequence of its entry."""

    hold_id: int
    expires_ms: int
    taken: tuple[Taken, ...]


class Link(Struct, frozen=True, array_like=True, gc=False):
    """An identifier of the account: keyed digest, kind, and from when until when (0: still)."""

    digest: bytes
    kind: int
    since_ms: int
    until_ms: int = 0
    hint: str = ""

    def covers(self, at_ms: int) -> bool:
        """Whether the identifier stood for the account at that time."""
        return self.since_ms <= at_ms and (self.until_ms == 0 or at_ms < self.until_ms)


class Entitlement(Struct, frozen=True, array_like=True):
    """A right that rules may read: a tier, a paid membership, an invitation. `until_ms` 0: no end."""

    code: str
    source: str
    from_ms: int
    until_ms: int = 0


class Counter(Struct, frozen=True, array_like=True, gc=False):
    """Units counted under a name in one local day (days since 1970-01-01), for caps."""

    name: str
    day: int
    units: int


def transfer_counter(purse: str) -> str:
    """The counter of what left a purse in a local day; no rule's code has a colon."""
    return f"transfer:{purse}"


class Proposal(Struct, frozen=True, array_like=True):
    """An adjustment that waits for a second person; `proposal_id` is its entry's sequence."""

    proposal_id: int
    purse: str
    units: int
    reason: str
    author: str


class PoolStay(Struct, frozen=True, array_like=True):
    """That the account belonged to a pool from `since_ms` until `until_ms` (0: still)."""

    pool_id: bytes
    since_ms: int
    until_ms: int = 0


class Account(Struct, frozen=True, array_like=True, gc=False):
    """The whole state of one account.

    `entries` counts the account's journal entries; `last_sequence` is the partition's number of the
    newest, from which the statement walks back. `due_ms` is the earliest moment at which something
    happens by itself (a lot matures or expires, a hold ends), NEVER_MS where nothing does. `sending` are
    the transfers that have left and are not closed: their units may still come back. `language` (a language
    tag without region, empty where none is known) is what receipts speak to the holder; the rest of what is
    known of a person is sealed, and this alone says of nobody who they are.
    """

    account_id: bytes
    kind: AccountKind = AccountKind.PERSONAL
    status: Status = Status.ACTIVE
    opened_ms: int = 0
    entries: int = 0
    last_sequence: int = 0
    due_ms: int = NEVER_MS
    purses: dict[str, Purse] = {}
    holds: tuple[Hold, ...] = ()
    links: tuple[Link, ...] = ()
    holders: tuple[bytes, ...] = ()
    counters: tuple[Counter, ...] = ()
    entitlements: tuple[Entitlement, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    pools: tuple[PoolStay, ...] = ()
    erased: bool = False
    sending: tuple[str, ...] = ()
    language: str = ""

    def purse(self, code: str) -> Purse:
        """The purse of that code; an empty one where the account has none yet."""
        return self.purses.get(code, EMPTY_PURSE)

    def counted(self, name: str, day: int) -> int:
        """The units counted under `name` in the local `day`."""
        return sum(counter.units for counter in self.counters if counter.day == day and counter.name == name)

    def forgot(self, day: int) -> bool:
        """Whether counters of the local `day` may be gone already: it lies too far behind the newest.

        So what a daily cap would leave of that day is not known any more.
        """
        return any(counter.day - COUNTER_DAYS > day for counter in self.counters)

    def linked(self, digest: bytes, at_ms: int) -> bool:
        """Whether the identifier stands for this account at `at_ms`."""
        for link in self.links:  # noqa: SIM110 - at a third of the cost; every till's request comes by here
            if link.digest == digest and link.covers(at_ms):
                return True
        return False

    def hold(self, hold_id: int) -> Hold | None:
        """The open hold of that id, or None."""
        return next((hold for hold in self.holds if hold.hold_id == hold_id), None)

    def proposal(self, proposal_id: int) -> Proposal | None:
        """The adjustment of that id that waits, or None."""
        return next((waiting for waiting in self.proposals if waiting.proposal_id == proposal_id), None)

    @property
    def pool_id(self) -> bytes:
        """The pool that the account belongs to now; empty where none."""
        return self.pools[-1].pool_id if self.pools and not self.pools[-1].until_ms else b""

    def pool_at(self, at_ms: int) -> bytes:
        """The pool that the account belonged to at `at_ms`; empty where none."""
        for stay in self.pools:
            if stay.since_ms <= at_ms and (not stay.until_ms or at_ms < stay.until_ms):
                return stay.pool_id
        return b""
