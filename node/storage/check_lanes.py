"""The proof of a partition's lanes: each chain follows from its records, and positions are what records and
books say.

Signatures are not verified here, for which the directory's keys are needed: `vafa lane show` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from node.coalition import caps
from node.coalition.acquirer_facts import AcquirerExchange
from node.coalition.exchange import ENDED, ExchangeKind, HomeState
from node.coalition.lanes import GENESIS, chain
from node.coalition.messages import MessageType, Posted, RecordKind, sha256
from node.ledger.postings import payable, receivable
from node.storage import coalition_keys as keys
from node.storage.coalition_keys import Role
from node.storage.keyspace import Kind, kind_range
from node.storage.store import Store
from node.wire import coalition_store as records
from node.wire.coalition_bodies import ENCODER
from node.wire.coalition_fields import OutOfBounds
from node.wire.records import RecordUnreadable

Wrong = Callable[[str], None]


def check_lanes(store: Store, number: int, books: Mapping[tuple[str, str], int], wrong: Wrong) -> None:
    """Proves the lanes of a partition; `books` are its books as the journal gives them, `wrong` takes a
    problem.
    """
    try:
        _Lanes(store, number, wrong).run(books)
    except (RecordUnreadable, OutOfBounds) as unreadable:
        wrong(f"a record of a lane cannot be read: {unreadable}")


class _Lanes:
    def __init__(self, store: Store, number: int, wrong: Wrong) -> None:
        self._store = store
        self._number = number
        self._wrong = wrong
        self._owed: dict[str, int] = {}
        self._posted: dict[tuple[str, bytes], int] = {}

    def run(self, books: Mapping[tuple[str, str], int]) -> None:
        for key, data in self._scan(kind_range(self._number, Kind.LANE_HEAD)):
            _, role, partner_id, lane = keys.parse_lane_head(key)
            if role is Role.HOME:
                self._home(partner_id, lane, records.HOME_LANE.decode(data))
            elif role is Role.PARTNER:
                self._acquirer(partner_id, records.PARTNER.decode(data))
        self._exchanges()
        self._compare_books(books)
        for key, data in self._scan(keys.lane_disputes_range(self._number)):
            why = records.DISPUTE.decode(data).why
            self._wrong(
                f"a lane with {_partner_of(key)} is set aside ({why}); look at it with `vafa lane show`"
            )

    def _scan(self, span: tuple[bytes, bytes]) -> Iterator[tuple[bytes, bytes]]:
        return self._store.scan(*span)

    def _home(self, partner_id: str, lane: int, record: records.HomeLaneRecord) -> None:
        end = record.lane.number, record.lane.hash
        position, paid = self._walk(Role.HOME, partner_id, lane, *end, record.settled_number)
        self._compare_paid(partner_id, record.usage, paid)
        if position != record.usage.position:
            self._wrong(
                f"the lane with {partner_id} says that {record.usage.position} are owed, "
                f"its records {position}"
            )
        self._owed[partner_id] = self._owed.get(partner_id, 0) + position
        reserved = 0
        for _, data in self._scan(kind_range(self._number, Kind.HOME_EXCHANGE)):
            exchange = records.HOME_EXCHANGE.decode(data)
            if exchange.partner_id == partner_id and exchange.state is HomeState.RESERVED:
                reserved += exchange.units
                over = keys.hold_due_key(self._number, partner_id, exchange.expires_ms, exchange.exchange_id)
                if self._store.get(over) is None:
                    self._wrong(f"exchange {exchange.exchange_id.hex()} holds units, and nothing ends that")
        if reserved != record.usage.reserved:
            self._wrong(
                f"the lane with {partner_id} counts {record.usage.reserved} as reserved, "
                f"its exchanges {reserved}"
            )

    def _acquirer(self, partner_id: str, record: records.PartnerRecord) -> None:
        usage, settled = record.usage, dict(record.settled_numbers)
        position, paid = 0, 0
        for _, data in self._scan(keys.lane_heads_range(self._number, Role.ACQUIRER, partner_id)):
            head = records.ACQUIRER_LANE.decode(data)
            owed = self._walk(
                Role.ACQUIRER, partner_id, head.lane, head.number, head.hash, settled.get(head.lane, 0)
            )
            position, paid = position + owed[0], paid + owed[1]
        self._compare_paid(partner_id, usage, paid)
        if position != usage.position:
            self._wrong(f"{partner_id} owes {usage.position} by its counter, {position} by its records")
        self._owed[partner_id] = self._owed.get(partner_id, 0) - position

    def _compare_paid(self, partner_id: str, usage: caps.Usage, paid: int) -> None:
        """What a bank's payments took off the caps is what the records say that were settled by them."""
        if usage.settled != paid:
            self._wrong(
                f"{usage.settled} of what is owed with {partner_id} counts as paid, by the records {paid}"
            )

    def _walk(
        self, role: Role, partner_id: str, lane: int, number: int, digest: bytes, settled: int
    ) -> tuple[int, int]:
        """Follows a chain from its first record; gives what its records make the home node owe, net, and what
        of it was settled and paid: that of the records up to `settled`.
        """
        name = f"lane {lane} with {partner_id}"
        at, before, window, owed, paid = 0, GENESIS, 0, 0, 0
        for key, data in self._scan(keys.lane_records_range(self._number, role, partner_id, lane)):
            stored = records.LANE_ENTRY.decode(data)
            body = ENCODER.read(MessageType.POSTED, stored.posted.body)
            assert isinstance(body, Posted), "the type says what the body is"
            at += 1
            signed = stored.request.header if stored.request else b""
            if keys.parse_lane_record(key)[4] != at or body.core.number != at or body.core.lane != lane:
                self._wrong(f"{name}: record {at} is missing")
                return owed, paid
            asked = not signed or body.core.request_hash == sha256(signed)
            if body.hash != chain(before, signed, body.core_bytes) or not asked:
                self._wrong(f"{name}: the chain breaks at record {at}")
                return owed, paid
            if body.core.window < window:
                self._wrong(f"{name}: record {at} is of an earlier window than the one before it")
            before, window = body.hash, max(window, body.core.window)
            owed += caps.owed_by_home(body.core.kind, body.core.units)
            paid = owed if at <= settled else paid
            if body.core.kind is not RecordKind.CUT and role is Role.HOME:
                self._posted[partner_id, body.core.exchange_id] = at
        if (at, before) != (number, digest):
            self._wrong(f"{name}: the head says record {number}, the records end at {at}")
        return owed, paid

    def _exchanges(self) -> None:
        """Every exchange that is posted has its record, and whatever is under way is due some time."""
        for key, data in self._scan(kind_range(self._number, Kind.HOME_EXCHANGE)):
            exchange = records.HOME_EXCHANGE.decode(data)
            _, partner_id, exchange_id = keys.parse_exchange(key, Kind.HOME_EXCHANGE)
            number = self._posted.pop((partner_id, exchange_id), 0)
            if (exchange.state is HomeState.POSTED) != bool(number) or exchange.number != number:
                self._wrong(f"exchange {exchange_id.hex()} and the lane's records do not agree")
        for _, exchange_id in self._posted:
            self._wrong(f"exchange {exchange_id.hex()} and the lane's records do not agree")
        due = {
            keys.parse_exchange_due(key)[2:]: keys.parse_exchange_due(key)[1]
            for key, _ in self._scan(kind_range(self._number, Kind.EXCHANGE_DUE))
        }
        counted: dict[str, list[AcquirerExchange]] = {}
        for key, data in self._scan(kind_range(self._number, Kind.ACQUIRER_EXCHANGE)):
            held = records.ACQUIRER_EXCHANGE.decode(data)
            _, partner_id, exchange_id = keys.parse_exchange(key, Kind.ACQUIRER_EXCHANGE)
            if held.state in ENDED:
                continue
            counted.setdefault(partner_id, []).append(held)
            if due.get((partner_id, exchange_id)) != held.due_ms:
                self._wrong(f"exchange {exchange_id.hex()} is under way and missing from what is due")
        self._compare_usage(counted)

    def _compare_usage(self, counted: Mapping[str, list[AcquirerExchange]]) -> None:
        for key, data in self._scan(kind_range(self._number, Kind.LANE_HEAD)):
            _, role, partner_id, _ = keys.parse_lane_head(key)
            if role is not Role.PARTNER:
                continue
            usage, open_ = records.PARTNER.decode(data).usage, counted.get(partner_id, [])
            reserved = sum(one.units for one in open_ if one.kind is ExchangeKind.REDEMPTION)
            queued = sum(one.units for one in open_ if one.kind is ExchangeKind.ACCRUAL)
            if (reserved, queued) != (usage.reserved, usage.queued):
                self._wrong(f"what is under way with {partner_id} is not what is counted against the caps")

    def _compare_books(self, books: Mapping[tuple[str, str], int]) -> None:
        """What is owed to a partner, net, is in the books what it is in the records of its lanes."""
        named = {book.partition(":")[2] for book, _ in books if ":" in book}
        for partner_id in sorted(named | self._owed.keys()):
            both = (payable(partner_id), receivable(partner_id))
            booked = sum(units for (book, _), units in books.items() if book in both)
            recorded = self._owed.get(partner_id, 0)
            if booked != recorded:
                self._wrong(f"the books say that {partner_id} is owed {booked}, the lanes {recorded}")


def _partner_of(key: bytes) -> str:
    return key[4 : 4 + key[3]].decode()
