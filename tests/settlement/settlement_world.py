"""A small coalition with real signatures: its lanes, its closes, its statements."""

from collections.abc import Iterable, Mapping

from bench.settlement_records import Coalition, LaneMaker, make_coalition, window_start
from node.coalition.envelopes import Message
from node.settlement.closes import LanePart, LaneStart, PairNames, pair_close, starts_after
from node.settlement.documents import CloseBasis, DisputedLane, LaneEvidence, PairClose, SignedClose
from node.settlement.statement import WindowInput
from node.settlement.windows import pairs_of, terms_of
from node.wire.coalition import Opener, Unopened
from node.wire.settlement_publish import publish
from node.wire.settlement_scan import lane_part, stored_of
from node.wire.settlement_signing import cosign_close, sign_close

Pair = tuple[str, str]


class Keys:
    """What opening an envelope asks of the directory."""

    skew_ms = 300_000

    def __init__(self, coalition: Coalition) -> None:
        self._directory = coalition.directory
        self.coalition_id = coalition.directory.coalition_id

    def partitions_of(self, partner_id: str) -> int:
        partner = self._directory.partner(partner_id)
        return partner.partitions if partner else 0

    def may_sign(self, partner_id: str, key_uri: str, at_ms: int) -> bool:
        partner = self._directory.partner(partner_id)
        key = partner.key(key_uri) if partner else None
        return key is not None and key.valid_at(at_ms)


class World:
    """Merchants that trade in lanes; both sides of a pair hold the same records unless a test takes some
    away.
    """

    def __init__(self, merchants: int = 3, coalition: Coalition | None = None) -> None:
        self.coalition = coalition or make_coalition(merchants)
        self.makers: dict[tuple[str, str, int], LaneMaker] = {}
        self.records: dict[tuple[str, str, int], list[bytes]] = {}
        self.acks: dict[tuple[str, str, int], list[tuple[int, int, bytes]]] = {}
        """(window, number, envelope) of what acquirers have acknowledged, in order."""
        self.starts: dict[Pair, dict[int, LaneStart]] = {}

    def maker(self, home: str, acquirer: str, lane: int) -> LaneMaker:
        key = (home, acquirer, lane)
        if key not in self.makers:
            self.makers[key] = LaneMaker(self.coalition, *key)
            self.records[key] = []
        return self.makers[key]

    def trade(
        self, home: str, acquirer: str, lane: int, window: int, count: int, *, cut: bool = True
    ) -> None:
        maker = self.maker(home, acquirer, lane)
        self.records[home, acquirer, lane] += maker.records(window, count)
        if cut:
            self.records[home, acquirer, lane].append(maker.cut(window))

    def acknowledge(self, home: str, acquirer: str, lane: int, window: int) -> None:
        """The acquirer says that it has the lane as far as it stands."""
        maker = self.maker(home, acquirer, lane)
        said = (window, maker.number, maker.head_ack(window))
        self.acks.setdefault((home, acquirer, lane), []).append(said)

    def close(
        self,
        pair: Pair,
        window: int,
        *,
        records: Mapping[int, list[bytes]] | None = None,
        until: Mapping[int, int] | None = None,
        disputed: Iterable[DisputedLane] = (),
        basis: CloseBasis = CloseBasis.AGREED,
    ) -> PairClose:
        """The close that one side computes; `records` by lane where they differ from what was made."""
        names = PairNames(self.coalition.directory.coalition_id, window, *pair)
        held = {
            lane: made for (home, acquirer, lane), made in self.records.items() if (home, acquirer) == pair
        }
        parts = []
        for lane, made in (held | dict(records or {})).items():
            start = self.starts.get(pair, {}).get(lane, LaneStart(lane))
            part = lane_part(
                start, window, map(stored_of, made[start.number :]), until=(until or {}).get(lane)
            )
            assert isinstance(part, LanePart)
            parts.append(part)
        return pair_close(names, parts, disputed=disputed, basis=basis)

    def signed(self, close: PairClose) -> SignedClose:
        home, acquirer = close.pair
        signers = self.coalition.signers
        if close.basis is CloseBasis.ACQUIRER_ALONE:
            return sign_close(close, signers[acquirer], acquirer)
        signed = sign_close(close, signers[home], home)
        return (
            signed
            if close.basis is CloseBasis.HOME_ALONE
            else cosign_close(signed, signers[acquirer], acquirer)
        )

    def evidence(self, close: PairClose, window: int) -> tuple[LaneEvidence, ...]:
        """What the silent side had signed where the lanes end: the record's POSTED, or a HEAD_ACK."""
        found = []
        for one in close.lanes:
            key = (*close.pair, one.lane)
            if close.basis is CloseBasis.HOME_ALONE:
                assert self.makers[key].number == one.to_number
                found.append(LaneEvidence(one.lane, self.makers[key].head_ack(window)))
            else:
                found.append(LaneEvidence(one.lane, posted_of(self.records[key][one.to_number - 1])))
        return tuple(found)

    def all_closes(self, window: int) -> tuple[SignedClose, ...]:
        return tuple(
            self.signed(self.close(pair, window)) for pair in pairs_of(self.coalition.directory, window)
        )

    def settle(self, window: int, given: WindowInput, *, previous_head_hash: bytes = b"") -> bytes:
        """The published statement; the lanes go on where its closes end."""
        directory = self.coalition.directory
        terms = terms_of(directory, window)
        assert terms is not None
        for one in given.closes:
            pair = one.close.pair
            self.starts[pair] = starts_after(one.close, self.starts.get(pair, {}))
        return publish(
            directory,
            self.coalition.signed.body,
            terms,
            window,
            given,
            self.coalition.operator,
            now_ms=window_start(window + 1) + 86_400_000,
            previous_head_hash=previous_head_hash,
        )

    def open(self, envelope: bytes) -> Message | None:
        opened = Opener("nobody", lambda: Keys(self.coalition)).evidence(envelope)
        return None if isinstance(opened, Unopened) else opened


def posted_of(record: bytes) -> bytes:
    """The POSTED of a LaneRecord, as an Envelope."""
    from node.proto.vafa.coalition.v1.exchange_pb2 import LaneRecord

    return LaneRecord.FromString(record).posted.SerializeToString()


def busy_world(merchants: int = 3, window: int = 1) -> World:
    """Everyone trades with everyone in a lane or two."""
    world = World(merchants)
    for number, (home, acquirer) in enumerate(pairs_of(world.coalition.directory, window)):
        for lane in range(number % 3):
            world.trade(home, acquirer, lane * 5, window, 3 + number)
    return world
