"""A coalition that never was: its directory, its keys, and lane records as nodes store them, made without
nodes.

The records are what a home node and an acquirer hold after trading: signed requests, signed POSTEDs,
chained. Keys, amounts and times come from one seed. To sign ten million records takes an hour of a core, so
`sign_every` says which of them are really signed; the others carry 64 bytes that are no signature, and only
their signatures differ.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.timestamp_pb2 import Timestamp

from node.coalition.directory import (
    CoalitionPurse,
    Directory,
    Funding,
    Key,
    Partner,
    PartnerStatus,
    PaymentAccount,
    Rate,
    SettlementTerms,
    Window,
)
from node.coalition.lanes import CHAIN_TAG
from node.coalition.messages import MessageType, RecordKind
from node.proto.vafa.coalition.v1 import envelope_pb2, exchange_pb2, lane_pb2
from node.settlement.closes import LaneStart
from node.wire.coalition import PAYLOAD_TYPE
from node.wire.coalition_directory import SignedDirectory, sign_directory

COALITION = "bench-coalition"
WINDOW_MS = 7 * 86_400_000
PURSE = "points"
RATES = (Rate(1, 0, 700_001, 650_003, "IRR"), Rate(2, 1_000, 710_007, 660_001, "IRR"))
"""Odd on purpose: whole rial would leave nothing to round."""

_UNSIGNED = bytes(64)
_KINDS = (
    (RecordKind.ACCRUAL, MessageType.ACCRUE, 70),
    (RecordKind.REDEMPTION, MessageType.CAPTURE, 24),
    (RecordKind.ACCRUAL_RETURN, MessageType.RETURN, 4),
    (RecordKind.REDEMPTION_RETURN, MessageType.RETURN, 2),
)
"""What is recorded, by which message, and how often in a hundred."""


class BenchSigner:
    """A key made from a seed, with the face of `identity.signers.Signer`."""

    def __init__(self, seed: str) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed.encode()).digest())
        self.public_bytes = self._key.public_key().public_bytes_raw()
        self.public_uri = f"ed25519:{self.public_bytes.hex()}"

    def sign(self, payload_type: str, payload: bytes) -> bytes:
        """A signature over these bytes as this type (DSSE, protocol.md)."""
        kind = payload_type.encode()
        return self._key.sign(b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload))


@dataclass(frozen=True)
class Coalition:
    """Merchants with their keys, and the directory that names them."""

    signers: dict[str, BenchSigner]
    operator: BenchSigner
    directory: Directory
    signed: SignedDirectory = field(repr=False)

    @property
    def ids(self) -> list[str]:
        """The merchants' ids in byte order."""
        return sorted(self.signers)


def make_coalition(
    merchants: int, *, windows: int = 4, terms: SettlementTerms | None = None, prepaid: int = 0
) -> Coalition:
    """A coalition of so many merchants; the first `prepaid` of them pay ahead. Windows 1, 2, ... of a week
    each.
    """
    signers = {f"m{number:03}": BenchSigner(f"merchant {number}") for number in range(merchants)}
    partners = tuple(
        Partner(
            merchant,
            f"Merchant {merchant}",
            PartnerStatus.ACTIVE,
            keys=(Key(signer.public_uri, 1),),
            partitions=16,
            account=PaymentAccount(f"Merchant {merchant}", other_id=f"ACC-{merchant}", bic="BANKIRTHXXX"),
            funding=Funding.PREPAID if number < prepaid else Funding.POSTPAID,
        )
        for number, (merchant, signer) in enumerate(signers.items())
    )
    operator = BenchSigner("operator")
    directory = Directory(
        COALITION,
        1,
        1,
        partners,
        CoalitionPurse(PURSE),
        RATES,
        tuple(
            Window(number, window_start(number), window_start(number + 1)) for number in range(1, windows + 1)
        ),
        operator_keys=(Key(operator.public_uri, 1),),
        settlement_terms=(terms or SettlementTerms(1, "IRR", 0, close_grace_seconds=86_400),),
    )
    return Coalition(signers, operator, directory, sign_directory(directory, operator))


def window_start(number: int) -> int:
    """When a window begins, in epoch milliseconds."""
    return WINDOW_MS * (2_900 + number)


class LaneMaker:
    """Makes one lane's records, one after another, as both sides would hold them."""

    def __init__(
        self, coalition: Coalition, home: str, acquirer: str, lane: int, *, sign_every: int = 1
    ) -> None:
        self._home, self._acquirer, self._lane = home, acquirer, lane
        self._home_signer, self._acquirer_signer = coalition.signers[home], coalition.signers[acquirer]
        self._chance = random.Random(f"{home} {acquirer} {lane}")
        self._sign_every = sign_every
        self._signing = True
        self.epoch = 1
        self.number, self.hash = 0, bytes(32)

    @property
    def head(self) -> LaneStart:
        """Where the lane stands."""
        return LaneStart(self._lane, self.number, self.hash)

    def records(self, window: int, count: int) -> Iterator[bytes]:
        """So many more LaneRecords, as stored, all of one window."""
        chance, weights = self._chance, [weight for _, _, weight in _KINDS]
        for kind, type_, _ in chance.choices(_KINDS, weights, k=count):
            yield self.record(window, kind, type_, chance.randrange(1, 100_000))

    def one_of_each(self, window: int, count: int) -> Iterator[bytes]:
        """The same, beginning with one of each kind at each rate: every pair then has all the sums that a
        pair can have, so that windows differ by the number of their records and by nothing else.
        """
        each = [(kind, type_, rate.version) for kind, type_, _ in _KINDS for rate in RATES][:count]
        for kind, type_, version in each:
            yield self.record(window, kind, type_, self._chance.randrange(1, 100_000), version)
        yield from self.records(window, count - len(each))

    def cut(self, window: int) -> bytes:
        """A cut marker: it answers no request."""
        self._signing = True
        return self._chained(window, RecordKind.CUT, 0, b"", None)

    def record(
        self, window: int, kind: RecordKind, type_: MessageType, units: int, rate_version: int = 0
    ) -> bytes:
        """One more record, by a rate version or by any."""
        self._signing = self.number % self._sign_every == 0
        body = self._request_body(type_, units).SerializeToString()
        exchange_id = self._chance.randbytes(16)
        header = self._header(self._acquirer, self._home, type_, window, exchange_id, body)
        request = envelope_pb2.Envelope(
            header=header, body=body, signature=self._signature(self._acquirer_signer, header)
        )
        version = rate_version or 1 + self._chance.getrandbits(1)
        return self._chained(window, kind, units, exchange_id, request, version)

    def head_ack(self, window: int) -> bytes:
        """The acquirer's word, as an Envelope, that it has come as far as the lane stands."""
        head = lane_pb2.LaneHead(lane=self._lane, number=self.number, hash=self.hash, epoch=self.epoch)
        body = lane_pb2.HeadAck(head=head).SerializeToString()
        header = self._header(self._acquirer, self._home, MessageType.HEAD_ACK, window, b"", body)
        signature = self._acquirer_signer.sign(PAYLOAD_TYPE, header)
        return envelope_pb2.Envelope(header=header, body=body, signature=signature).SerializeToString()

    def _chained(
        self,
        window: int,
        kind: RecordKind,
        units: int,
        exchange_id: bytes,
        request: envelope_pb2.Envelope | None,
        rate_version: int = 0,
    ) -> bytes:
        signed = request.header if request else b""
        core = exchange_pb2.PostedCore(
            exchange_id=exchange_id,
            kind=exchange_pb2.RecordKind.ValueType(kind),
            purse=PURSE,
            units=units,
            lane=self._lane,
            number=self.number + 1,
            window=window,
            rate_version=rate_version,
            request_hash=hashlib.sha256(signed).digest() if request else b"",
        )
        self._at(core.post_time, window)
        core_bytes = core.SerializeToString()
        lengths = len(signed).to_bytes(8, "big"), len(core_bytes).to_bytes(8, "big")
        self.hash = hashlib.sha256(
            CHAIN_TAG + self.hash + lengths[0] + signed + lengths[1] + core_bytes
        ).digest()
        self.number += 1
        body = exchange_pb2.Posted(
            core=core_bytes,
            hash=self.hash,
            balance_units=self._chance.randrange(1_000_000),
            pseudonym=self._chance.randbytes(16),
        ).SerializeToString()
        header = self._header(self._home, self._acquirer, MessageType.POSTED, window, exchange_id, body)
        record = exchange_pb2.LaneRecord(
            posted=envelope_pb2.Envelope(
                header=header, body=body, signature=self._signature(self._home_signer, header)
            )
        )
        if request:
            record.request.CopyFrom(request)
        return record.SerializeToString()

    def _request_body(
        self, type_: MessageType, units: int
    ) -> exchange_pb2.Accrue | exchange_pb2.Capture | exchange_pb2.ReturnAbroad:
        terms = exchange_pb2.SaleTerms(
            store_id="store-1", terminal_id="till-07", sale_hash=self._chance.randbytes(32)
        )
        if type_ is MessageType.ACCRUE:
            return exchange_pb2.Accrue(
                units=units,
                terms=terms,
                pseudonym=self._chance.randbytes(16),
                identifier_commitment=self._chance.randbytes(32),
            )
        if type_ is MessageType.CAPTURE:
            return exchange_pb2.Capture(authorized_hash=self._chance.randbytes(32), units=units)
        return exchange_pb2.ReturnAbroad(
            original_exchange_id=self._chance.randbytes(16), original_number=1, units=units, terms=terms
        )

    def _header(
        self, sender: str, receiver: str, type_: MessageType, window: int, exchange_id: bytes, body: bytes
    ) -> bytes:
        by_home = sender == self._home
        header = envelope_pb2.Header(
            version=1,
            coalition_id=COALITION,
            sender_id=sender,
            receiver_id=receiver,
            key_uri=(self._home_signer if by_home else self._acquirer_signer).public_uri,
            lane=self._lane,
            epoch=self.epoch,
            type=envelope_pb2.MessageType.ValueType(type_),
            exchange_id=exchange_id,
            body_hash=hashlib.sha256(body).digest(),
        )
        self._at(header.issue_time, window)
        return header.SerializeToString()

    def _at(self, time: Timestamp, window: int) -> None:
        """A moment of the window, to the millisecond as nodes have it."""
        time.seconds = window_start(window) // 1000 + self.number % 500_000
        time.nanos = self._chance.randrange(1_000) * 1_000_000

    def _signature(self, signer: BenchSigner, header: bytes) -> bytes:
        return signer.sign(PAYLOAD_TYPE, header) if self._signing else _UNSIGNED
