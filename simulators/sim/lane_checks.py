"""What must be true between merchants when all is quiet; each check gives sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from node.coalition.acquirer_facts import AcquirerExchange, give_back_id
from node.coalition.envelopes import Message
from node.coalition.exchange import ENDED, AcquirerState, HomeState
from node.coalition.home_facts import HomeExchange
from node.coalition.lanes import GENESIS, AcquirerLane, HomeLane, chain
from node.coalition.messages import MessageType, Posted, PostedCore, RecordKind
from node.ledger.postings import payable, receivable
from node.storage import coalition_keys as keys
from node.storage.coalition_keys import Role
from node.storage.keyspace import Kind, partner_partition
from node.wire import coalition_store as store
from node.wire.coalition import Opener, Unopened
from node.wire.coalition_bodies import ENCODER
from node.wire.coalition_trust import KnownDirectories
from simulators.sim.checks import Books
from simulators.sim.disk import Backup

Named = tuple[str, str, bytes]
"""An exchange: home, acquirer, id."""


class Side:
    """What one node's disks hold of the coalition."""

    def __init__(self, books: Books, partitions: int) -> None:
        self.own_id = books.merchant
        self.books = books
        self._partitions = partitions
        self._stores = dict(books.partitions())

    def home_lane(self, acquirer: str, lane: int) -> HomeLane | None:
        """A lane of this node's members."""
        value = self._stores[lane].get(keys.lane_head_key(lane, Role.HOME, acquirer, lane))
        return None if value is None else store.HOME_LANE.decode(value).lane

    def acquirer_lane(self, home: str, lane: int) -> AcquirerLane | None:
        """A lane of a partner's members."""
        place = partner_partition(home, self._partitions)
        value = self._stores[place].get(keys.lane_head_key(place, Role.ACQUIRER, home, lane))
        return None if value is None else store.ACQUIRER_LANE.decode(value)

    def records(self, role: Role, partner: str, lane: int) -> list[tuple[int, store.LaneEntry]]:
        """The records of a lane with their numbers, as this side keeps them."""
        place = lane if role is Role.HOME else partner_partition(partner, self._partitions)
        start, end = keys.lane_records_range(place, role, partner, lane)
        pairs = self._stores[place].scan(start, end)
        return [(keys.parse_lane_record(key)[4], store.LANE_ENTRY.decode(value)) for key, value in pairs]

    def book(self, name: str, purse: str) -> int:
        """Units on one of the node's books, over all partitions."""
        return sum(head.get((name, purse), 0) for head in self.books.heads())

    def disputes(self) -> Iterator[str]:
        """Why lanes were set aside."""
        for _, value in self.books.stored(Kind.LANE_DISPUTE):
            yield store.DISPUTE.decode(value).why

    def home_exchanges(self) -> list[HomeExchange]:
        """Exchanges of this node's members."""
        return [store.HOME_EXCHANGE.decode(value) for _, value in self.books.stored(Kind.HOME_EXCHANGE)]

    def acquirer_exchanges(self) -> list[AcquirerExchange]:
        """Exchanges at this node's tills."""
        return [
            store.ACQUIRER_EXCHANGE.decode(value) for _, value in self.books.stored(Kind.ACQUIRER_EXCHANGE)
        ]


def lanes_of(sides: Sequence[Side], partitions: int) -> Iterator[tuple[Side, Side, int]]:
    """Every lane: (home, acquirer, number)."""
    for home in sides:
        for acquirer in sides:
            if home is not acquirer:
                for lane in range(partitions):
                    yield home, acquirer, lane


def chains(sides: Sequence[Side], partitions: int, known: KnownDirectories) -> list[str]:
    """Both sides of each lane hold the same signed records, byte for byte, and they are a chain."""
    found = []
    for home, acquirer, lane in lanes_of(sides, partitions):
        name = f"lane {lane} of {home.own_id} at {acquirer.own_id}"
        head, foot = home.home_lane(acquirer.own_id, lane), acquirer.acquirer_lane(home.own_id, lane)
        own = home.records(Role.HOME, acquirer.own_id, lane)
        others = acquirer.records(Role.ACQUIRER, home.own_id, lane)
        if (head is not None and head.disputed) or (foot is not None and foot.disputed):
            found.append(f"{name} is disputed")
            continue
        if own != others:
            found.append(
                f"{name} has {len(own)} records at home, {len(others)} at the acquirer, not the same"
            )
        for side, lane_head, records in ((home, head, own), (acquirer, foot, others)):
            ended = (0, GENESIS) if lane_head is None else (lane_head.number, lane_head.hash)
            problem = chain_problem(records, ended, Opener(side.own_id, lambda: known))
            if problem:
                found.append(f"{name}, as {side.own_id} keeps it: {problem}")
    return found


def chain_problem(
    records: Sequence[tuple[int, store.LaneEntry]], head: tuple[int, bytes], opener: Opener
) -> str | None:
    """What is wrong with one side's records by themselves."""
    digest, window = GENESIS, 0
    for place, (number, entry) in enumerate(records, 1):
        if number != place:
            return f"record {place} is missing"
        posted = opener.evidence(store.envelope_bytes(entry.posted))
        request = None if entry.request is None else opener.evidence(store.envelope_bytes(entry.request))
        if not isinstance(posted, Message) or isinstance(request, Unopened):
            return f"a signature of record {number} does not hold"
        body = posted.body
        if not isinstance(body, Posted):
            return f"record {number} is no POSTED"
        signed = b"" if request is None else request.header_bytes
        digest = chain(digest, signed, body.core_bytes)
        if body.hash != digest or body.core.number != number:
            return f"record {number} does not follow from the one before"
        if body.core.window < window:
            return f"record {number} is of window {body.core.window}, after one of {window}"
        window = body.core.window
    if (len(records), digest) != head:
        return f"the head says {head[0]} records, and there are {len(records)}, or its hash is another"
    return None


def positions(sides: Sequence[Side], partitions: int, purse: str) -> list[str]:
    """What two merchants owe each other is the same in the books of both, and what the records say."""
    sums: Counter[tuple[str, str, RecordKind]] = Counter()
    for home, acquirer, lane in lanes_of(sides, partitions):
        for _, entry in home.records(Role.HOME, acquirer.own_id, lane):
            core = core_of(entry)
            sums[home.own_id, acquirer.own_id, core.kind] += core.units
    found = []
    for home in sides:
        for acquirer in sides:
            if home is acquirer:
                continue
            a, b = home.own_id, acquirer.own_id
            # What a's members spent at b, and what b's members earned at a: both are a's to pay.
            spent = sums[a, b, RecordKind.REDEMPTION] - sums[a, b, RecordKind.REDEMPTION_RETURN]
            earned = sums[b, a, RecordKind.ACCRUAL] - sums[b, a, RecordKind.ACCRUAL_RETURN]
            owes, mirror = home.book(payable(b), purse), -acquirer.book(receivable(a), purse)
            if not owes == mirror == spent + earned:
                found.append(
                    f"{a} owes {b} {spent + earned} by the records, {owes} by its books, {mirror} by {b}'s"
                )
    return found


def core_of(entry: store.LaneEntry) -> PostedCore:
    """What a record says."""
    body = ENCODER.read(MessageType.POSTED, entry.posted.body)
    assert isinstance(body, Posted)
    return body.core


def recorded(books: Iterable[Books]) -> dict[bytes, bytes]:
    """The records that some disk holds: the exchange of each, by its hash in the chain."""
    return _records(value for one in books for _, value in one.stored(Kind.LANE_RECORD))


def backed_up(backups: Iterable[Backup]) -> dict[bytes, bytes]:
    """The same of backups of one moment."""
    return _records(
        value for one in backups for key, value in one.values.items() if key[1] == Kind.LANE_RECORD
    )


def _records(values: Iterable[bytes]) -> dict[bytes, bytes]:
    bodies = (
        ENCODER.read(MessageType.POSTED, store.LANE_ENTRY.decode(value).posted.body) for value in values
    )
    return {body.hash: body.core.exchange_id for body in bodies if isinstance(body, Posted)}


def let_go(side: Side) -> set[tuple[str, bytes]]:
    """(home, exchange) of what this node's tills had it let go, as far as its disks know."""
    known = {(one.partner_id, one.exchange_id): one.state for one in side.acquirer_exchanges()}
    return {
        (home, exchange_id)
        for (home, exchange_id), state in known.items()
        if state is AcquirerState.CANCELLING or (home, give_back_id(exchange_id)) in known
    }


def heard_of(side: Side, acquirer: str) -> set[bytes]:
    """The exchanges of which this home node knows that the acquirer has let them go."""
    known = {one.exchange_id: one for one in side.home_exchanges() if one.partner_id == acquirer}
    return {
        exchange_id
        for exchange_id, one in known.items()
        if one.cancel is not None or one.state is HomeState.VOIDED or give_back_id(exchange_id) in known
    }


class Spend(Struct, frozen=True):
    """A spend abroad: where its exchange is, and whether the till has handed goods over for `units`;
    `reference` is the name of the request that captured it.
    """

    acquirer_id: str
    home_id: str
    exchange_id: bytes
    units: int
    goods: bool
    reference: bytes = b""


def goods(sides: Sequence[Side], spends: Iterable[Spend]) -> list[str]:
    """Goods were handed over exactly where the home node has posted; what else it posted is given back."""
    by_id = {
        (side.own_id, one.partner_id, one.exchange_id): one
        for side in sides
        for one in side.acquirer_exchanges()
    }
    found = []
    for spend in spends:
        one = by_id.get((spend.acquirer_id, spend.home_id, spend.exchange_id))
        left = 0
        if one is not None and one.record_kind is RecordKind.REDEMPTION:
            left = one.posted_units - one.returned
        if left != (spend.units if spend.goods else 0):
            handed = "handed over" if spend.goods else "not handed over"
            found.append(
                f"exchange {spend.exchange_id.hex()} of {spend.home_id} at {spend.acquirer_id}: goods for "
                f"{spend.units} were {handed}, and {left} are posted"
            )
    return found


def ended(sides: Sequence[Side]) -> list[str]:
    """Every exchange has come to its end on both sides, and both say the same of it."""
    found = []
    homes: dict[Named, HomeExchange] = {}
    for side in sides:
        for one in side.home_exchanges():
            key = (side.own_id, one.partner_id, one.exchange_id)
            before = homes.get(key)
            # One that an acquirer let go before it knew the lane is void on all others, too.
            if before is None or before.state is HomeState.VOIDED:
                homes[key] = one
            elif one.state is not HomeState.VOIDED:
                found.append(f"exchange {one.exchange_id.hex()} of {one.partner_id} is on two lanes")
    for (home, partner, exchange_id), one in homes.items():
        if one.state is HomeState.RESERVED:
            found.append(f"exchange {exchange_id.hex()} of {partner} is still RESERVED at {home}")
    for side in sides:
        for exchange in side.acquirer_exchanges():
            name = f"exchange {exchange.exchange_id.hex()} with {exchange.partner_id} at {side.own_id}"
            at_home = homes.get((exchange.partner_id, side.own_id, exchange.exchange_id))
            posted = at_home is not None and at_home.state is HomeState.POSTED
            if exchange.state not in ENDED:
                found.append(f"{name} is still {exchange.state.name}")
            elif (exchange.state is AcquirerState.DONE) != posted:
                state = at_home.state.name if at_home else "unknown"
                found.append(f"{name} is {exchange.state.name}, and at home it is {state}")
    done = {
        (one.partner_id, side.own_id, one.exchange_id)
        for side in sides
        for one in side.acquirer_exchanges()
        if one.state is AcquirerState.DONE
    }
    found += [
        f"exchange {exchange_id.hex()} is POSTED at {home}, and {partner} does not know it as DONE"
        for (home, partner, exchange_id), one in homes.items()
        if one.state is HomeState.POSTED and (home, partner, exchange_id) not in done
    ]
    return found
