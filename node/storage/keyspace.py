"""Every key of every store: how it is built, how it is read back, and which range holds what.

A key is a partition byte, a kind byte and the rest. Numbers are unsigned and big-endian: byte order is number
order. Strings carry their length in front. The numbers of kinds are on disks everywhere: never reuse one.

    partition 0..63   what belongs to one partition of a shard's store, moved and counted with it
    0xFE              what belongs to the control store
    0xFF              what the storage floor keeps about the store itself
"""

from __future__ import annotations

import hashlib
import struct
from enum import IntEnum
from functools import lru_cache

PARTITIONS_MAX = 64
CONTROL_BYTE = 0xFE
STORE_BYTE = 0xFF
ID_BYTES = 16
SEQUENCE_MAX = 2**64 - 1
CACHED_PARTNERS = 1_024
"""Partners whose place, and whose part of a key, are kept ready-made."""

_TWO = struct.Struct(">BB")
_WITH_SEQUENCE = struct.Struct(">BBQ")
_LENGTH = struct.Struct(">H")


class Kind(IntEnum):
    """What a key of a partition holds."""

    META = 0x01
    """Partition meta, by `PartitionMeta`."""
    ACCOUNT = 0x02
    """Account state, by account id."""
    JOURNAL = 0x03
    """Journal entry, by sequence."""
    REQUEST = 0x04
    """Request record, by terminal and request id."""
    TRANSACTION = 0x05
    """Transaction record (a purchase and its lines), by sequence."""
    IDENTIFIER = 0x06
    """Identifier index, by the identifier's keyed digest."""
    RECEIPT = 0x07
    """Receipt claim, by the digest of store and receipt number."""
    DUE = 0x08
    """Due index, by due time and account id: what turns spendable or expires when."""
    OUTBOX = 0x09
    """Outbox entry, by sequence."""
    PERSON = 0x0A
    """A person's sealed record, by person id."""
    PERSON_KEY = 0x0B
    """The key that opens a person's sealed record, by person id; erasing a person deletes it."""
    STATEMENT = 0x0C
    """Not used: an account's journal entries are walked backwards, without an index."""
    QUARANTINE = 0x0D
    """A quarantined account's evidence, by account id."""
    HOME_EXCHANGE = 0x0E
    """An exchange as the home node keeps it, by partner and exchange id; see `coalition_keys`."""
    ACQUIRER_EXCHANGE = 0x0F
    """An exchange as the acquirer keeps it, by partner and exchange id."""
    EXCHANGE_DUE = 0x10
    """What the acquirer must send again or forget, by due time, partner and exchange id."""
    LANE_HEAD = 0x11
    """A lane's head and what counts against its caps, by role, partner and lane."""
    LANE_RECORD = 0x12
    """A record of a lane, by role, partner, lane and number."""
    MEMBER_PROOF = 0x13
    """What is kept of a member's proofs, by account id."""
    LANE_DISPUTE = 0x14
    """What was received when a lane was set aside, by role, partner and lane."""
    CAPTURE = 0x15
    """Which exchange a till's capture was about, by partner and the exchange id of the capture's request."""
    CARD = 0x16
    """What is known of a chip card, by account id and the digest of the card's number."""
    LANE_ACK = 0x17
    """How far an acquirer has said that it has come on a lane, by partner, lane and window."""
    HOLD_DUE = 0x18
    """When the hold of an exchange ends at the home node, by partner, time and exchange id."""
    MEMBER_PIN = 0x19
    """What is kept of a member's PIN, by account id."""


class PartitionMeta(IntEnum):
    """What partition meta holds."""

    HEAD = 0x01
    """Sequence, chain hash, books and clock of the partition: rewritten by every batch that touches it."""
    OWNERSHIP = 0x02
    """The ownership generation: of two stores that hold the partition, the higher owns it."""
    RESTORED = 0x03
    """That the partition came back from a backup, until every partner has shown what may be missing."""


class ControlKind(IntEnum):
    """What a key of the control store holds."""

    TERMINAL = 0x01
    REVOCATION = 0x02
    STAFF = 0x03
    DIRECTORY = 0x04
    PROGRAMME = 0x05
    KEY = 0x06
    ERASURE = 0x07
    """A person erased, by person id: replayed over a restored backup."""
    SETTING = 0x08
    STORE = 0x09
    """A store of this installation, by store id: which directories belong together."""
    SETTLEMENT = 0x0A
    """Windows, closes, statements and payments; see `settlement_keys`."""


class StoreMeta(IntEnum):
    """What the storage floor keeps about a store."""

    STAMP = 0x00
    """The number of the batch, and how far the store was synced before it; in every batch, for recovery."""
    IDENTITY = 0x01
    """Whose store this is; see `meta`."""
    FORMAT = 0x02
    """The version of what is stored, and how far a migration has come; see `migrate`."""
    MOVE = 0x03
    """A partition on its way to another store; see `move`."""


class BadKey(ValueError):
    """A key that is not of the kind it was read as, or parts that cannot make one."""


def partition_of(digest_or_account_id: bytes, partitions: int) -> int:
    """Which of the installation's `partitions` has an id or digest; its first eight bytes are uniform."""
    if not 1 <= partitions <= PARTITIONS_MAX:
        raise BadKey(f"a store has 1 to {PARTITIONS_MAX} partitions, not {partitions}")
    if len(digest_or_account_id) < 8:
        raise BadKey("an id to place needs at least 8 bytes")
    return int.from_bytes(digest_or_account_id[:8], "big") % partitions


@lru_cache(CACHED_PARTNERS)
def partner_partition(partner_id: str, partitions: int) -> int:
    """The one partition in which an acquirer keeps everything about a home node."""
    return partition_of(hashlib.sha256(b"partner\x00" + partner_id.encode()).digest(), partitions)


def partition_range(partition: int) -> tuple[bytes, bytes]:
    """[start, end) of everything that belongs to `partition`."""
    return bytes((_partition(partition),)), bytes((partition + 1,))


def kind_range(partition: int, kind: Kind) -> tuple[bytes, bytes]:
    """[start, end) of all keys of one kind in `partition`."""
    return _TWO.pack(_partition(partition), kind), _TWO.pack(partition, kind + 1)


def partition_meta_key(partition: int, item: PartitionMeta) -> bytes:
    """The key of one item of partition meta."""
    return _TWO.pack(_partition(partition), Kind.META) + bytes((item,))


def account_key(partition: int, account_id: bytes) -> bytes:
    """The key of an account's state."""
    return _with_id(partition, Kind.ACCOUNT, account_id)


def identifier_key(partition: int, digest: bytes) -> bytes:
    """The key of an identifier's index entry; `digest` is 16 bytes of its keyed hash."""
    return _with_id(partition, Kind.IDENTIFIER, digest)


def receipt_key(partition: int, digest: bytes) -> bytes:
    """The key of a receipt's claim; `digest` is 16 bytes over store and receipt number."""
    return _with_id(partition, Kind.RECEIPT, digest)


def person_key(partition: int, person_id: bytes) -> bytes:
    """The key of a person's sealed record."""
    return _with_id(partition, Kind.PERSON, person_id)


def person_secret_key(partition: int, person_id: bytes) -> bytes:
    """The key under which the secret that opens a person's record is kept."""
    return _with_id(partition, Kind.PERSON_KEY, person_id)


def quarantine_key(partition: int, account_id: bytes) -> bytes:
    """The key of a quarantined account's evidence."""
    return _with_id(partition, Kind.QUARANTINE, account_id)


def parse_id(key: bytes, kind: Kind) -> tuple[int, bytes]:
    """(partition, 16-byte id or digest) of a key whose rest is just that."""
    return key[0], _rest(key, kind, ID_BYTES)


def journal_key(partition: int, sequence: int) -> bytes:
    """The key of a journal entry."""
    return _with_sequence(partition, Kind.JOURNAL, sequence)


def transaction_key(partition: int, sequence: int) -> bytes:
    """The key of a transaction record."""
    return _with_sequence(partition, Kind.TRANSACTION, sequence)


def outbox_key(partition: int, sequence: int) -> bytes:
    """The key of an outbox entry."""
    return _with_sequence(partition, Kind.OUTBOX, sequence)


def sequence_range(
    partition: int, kind: Kind, first: int = 0, last: int = SEQUENCE_MAX
) -> tuple[bytes, bytes]:
    """[start, end) of keys of `kind` (journal, transaction, outbox) with first <= sequence <= last."""
    return _with_sequence(partition, kind, first), _after(_with_sequence(partition, kind, last))


def parse_sequence(key: bytes, kind: Kind) -> tuple[int, int]:
    """(partition, sequence) of a journal, transaction or outbox key."""
    return key[0], int.from_bytes(_rest(key, kind, 8), "big")


def request_key(partition: int, terminal_id: str, request_id: str) -> bytes:
    """The key of a request record: scoped to the terminal, so that two tills may use one request id."""
    return terminal_requests_prefix(partition, terminal_id) + request_id.encode()


@lru_cache(maxsize=16_384)
def terminal_requests_prefix(partition: int, terminal_id: str) -> bytes:
    """What all request records of one terminal in `partition` begin with; see `prefix_range`."""
    terminal = terminal_id.encode()
    if len(terminal) > 0xFFFF:
        raise BadKey("a terminal id is at most 65535 bytes long")
    return _TWO.pack(_partition(partition), Kind.REQUEST) + _LENGTH.pack(len(terminal)) + terminal


def parse_request(key: bytes) -> tuple[int, str, str]:
    """(partition, terminal id, request id) of a request record's key."""
    rest = _rest(key, Kind.REQUEST)
    if len(rest) < 2 or len(rest) < 2 + (length := _LENGTH.unpack_from(rest)[0]):
        raise BadKey("a request record's key is cut short")
    return key[0], rest[2 : 2 + length].decode(), rest[2 + length :].decode()


def due_key(partition: int, due_ms: int, account_id: bytes) -> bytes:
    """The key of a due entry: `account_id` has something to do at `due_ms` (epoch milliseconds)."""
    return _with_sequence(partition, Kind.DUE, due_ms) + _id(account_id)


def due_range(partition: int, until_ms: int) -> tuple[bytes, bytes]:
    """[start, end) of everything due at or before `until_ms`."""
    return kind_range(partition, Kind.DUE)[0], _after(_with_sequence(partition, Kind.DUE, until_ms))


def parse_due(key: bytes) -> tuple[int, int, bytes]:
    """(partition, due time in epoch milliseconds, account id) of a due entry's key."""
    rest = _rest(key, Kind.DUE, 8 + ID_BYTES)
    return key[0], int.from_bytes(rest[:8], "big"), rest[8:]


def control_key(kind: ControlKind, name: bytes = b"") -> bytes:
    """A key of the control store; `name` is the record's own id, big-endian where it is a number."""
    return _TWO.pack(CONTROL_BYTE, kind) + name


def control_range(kind: ControlKind) -> tuple[bytes, bytes]:
    """[start, end) of all keys of one kind in the control store."""
    return _TWO.pack(CONTROL_BYTE, kind), _TWO.pack(CONTROL_BYTE, kind + 1)


def parse_control(key: bytes) -> tuple[ControlKind, bytes]:
    """(kind, name) of a key of the control store."""
    if len(key) < 2 or key[0] != CONTROL_BYTE:
        raise BadKey("not a key of the control store")
    return ControlKind(key[1]), key[2:]


def store_meta_key(item: StoreMeta, name: bytes = b"") -> bytes:
    """A key of what the storage floor keeps about the store itself."""
    return _TWO.pack(STORE_BYTE, item) + name


def prefix_range(prefix: bytes) -> tuple[bytes, bytes]:
    """[start, end) of all keys that begin with `prefix`, which must not be empty or all 0xFF."""
    stem = prefix.rstrip(b"\xff")
    if not stem:
        raise BadKey("no key comes after this prefix")
    return prefix, stem[:-1] + bytes((stem[-1] + 1,))


def _partition(partition: int) -> int:
    if not 0 <= partition < PARTITIONS_MAX:
        raise BadKey(f"partitions are 0 to {PARTITIONS_MAX - 1}, not {partition}")
    return partition


def _id(value: bytes) -> bytes:
    if len(value) != ID_BYTES:
        raise BadKey(f"an id in a key has {ID_BYTES} bytes, not {len(value)}")
    return value


def _sequence(value: int) -> bytes:
    if not 0 <= value <= SEQUENCE_MAX:
        raise BadKey("a number in a key fits in 64 bits and is not negative")
    return value.to_bytes(8, "big")


# These two make most keys there are, so they call nothing while all is well.
def _with_id(partition: int, kind: Kind, value: bytes) -> bytes:
    if 0 <= partition < PARTITIONS_MAX and len(value) == ID_BYTES:
        return _TWO.pack(partition, kind) + value
    return _TWO.pack(_partition(partition), kind) + _id(value)


def _with_sequence(partition: int, kind: Kind, value: int) -> bytes:
    if not 0 <= value <= SEQUENCE_MAX:
        raise BadKey("a number in a key fits in 64 bits and is not negative")
    if not 0 <= partition < PARTITIONS_MAX:
        raise BadKey(f"partitions are 0 to {PARTITIONS_MAX - 1}, not {partition}")
    return _WITH_SEQUENCE.pack(partition, kind, value)


def _after(key: bytes) -> bytes:
    """The first key that neither is `key` nor begins with it."""
    return prefix_range(key)[1]


def _rest(key: bytes, kind: Kind, length: int | None = None) -> bytes:
    if len(key) < 2 or key[0] >= PARTITIONS_MAX or key[1] != kind:
        raise BadKey(f"not a key of kind {kind.name}")
    if length is not None and len(key) != 2 + length:
        raise BadKey(f"a key of kind {kind.name} has {2 + length} bytes, not {len(key)}")
    return key[2:]
