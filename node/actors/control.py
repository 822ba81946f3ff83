"""The control store: programme versions, callers and their certificates, enrolment codes, erasures.

One store with one writer, the gateway's process. Everything in it is small and changes rarely, so each change
is a batch of its own, synced before it is answered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from node.identity.caller import Caller, Role
from node.identity.enrolment import EnrolmentTicket
from node.ledger.refusals import Reason, Refused, refuse
from node.programme.model import Programme
from node.storage.keyspace import ControlKind, control_key, control_range
from node.storage.restore import erasures_to_repeat, put_erasure
from node.storage.store import Batch, Store
from node.wire.records import Codec

MAX_VERSIONS = 10_000
MAX_LEAD_MS = 5 * 365 * 86_400_000
"""How far ahead a programme may be published."""


class CallerRecord(Struct, frozen=True, array_like=True):
    """A certificate that was issued, to whom, and whether it was revoked. `terminals` is a gateway's list."""

    serial: str
    role: str
    id: str
    store: str
    not_after_ms: int
    revoked: bool = False
    terminals: tuple[str, ...] = ()


class PublishRecord(Struct, frozen=True, array_like=True):
    """Which version a publishing request made of which draft, for whoever asks again."""

    version: int
    draft_hash: bytes = b""


class PendingEnrolment(Struct, frozen=True, array_like=True):
    """A one-time code that was handed out, and what it is for."""

    ticket: EnrolmentTicket
    terminals: tuple[str, ...] = ()


_PROGRAMME = Codec(Programme)
_CALLER = Codec(CallerRecord)
_PENDING = Codec(PendingEnrolment)
_PUBLISHED = Codec(PublishRecord)


class Control:
    """The control store in memory and on disk. Not for several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._programmes = [
            _PROGRAMME.decode(data) for _, data in store.scan(*control_range(ControlKind.PROGRAMME))
        ]
        self._callers = {
            record.serial: record
            for record in (
                _CALLER.decode(data) for _, data in store.scan(*control_range(ControlKind.TERMINAL))
            )
        }
        self._revoked = frozenset(serial for serial, record in self._callers.items() if record.revoked)
        self._gateways = self._lists()

    # --- programme versions ---------------------------------------------------------------------

    @property
    def programmes(self) -> tuple[Programme, ...]:
        """All versions, oldest first."""
        return tuple(self._programmes)

    def programmes_snapshot(self) -> bytes:
        """All versions as shards take them."""
        return msgspec.msgpack.encode(self.programmes)

    def programme(self, version: int) -> Programme | None:
        """One version, or None."""
        return next((one for one in self._programmes if one.version == version), None)

    def programme_at(self, at_ms: int) -> Programme | None:
        """The version in force at `at_ms`, or None before the first: the last to take effect until then.

        Of two that take effect together it is the newer.
        """
        begun = [one for one in self._programmes if one.effective_ms <= at_ms]
        return max(begun, key=lambda one: (one.effective_ms, one.version), default=None)

    def publish(self, draft: Programme, author: str, request: str, now_ms: int) -> Programme | Refused:
        """Makes a draft the next version; the same request gives the same version again.

        It may take effect before one that is still to come, which then follows it as announced. Refused where
        it would take effect in the past: a sale that was judged must be judged the same when it is returned.
        Also where the request published another draft before.
        """
        known = self._store.get(control_key(ControlKind.SETTING, b"publish/" + request.encode()))
        draft_hash = hashlib.sha256(_PROGRAMME.encode(draft)).digest()
        if known is not None:
            record = _PUBLISHED.decode(known)
            if record.draft_hash not in (b"", draft_hash):
                return refuse(
                    Reason.REQUEST_ID_REUSED,
                    "This request id came before with another draft. Nothing was done; use a new id.",
                )
            published = self.programme(record.version)
            assert published is not None
            return published
        effective_ms = draft.effective_ms or now_ms
        earliest_ms = now_ms - 60_000 if self._programmes else 0
        if len(self._programmes) >= MAX_VERSIONS:
            return refuse(Reason.LIMIT_EXCEEDED, f"A node keeps at most {MAX_VERSIONS} programme versions.")
        if not earliest_ms <= effective_ms <= now_ms + MAX_LEAD_MS:
            return refuse(
                Reason.EFFECTIVE_TIME_OUT_OF_BOUNDS,
                "A version takes effect now or within five years, not in the past. Nothing was published.",
            )
        version = len(self._programmes) + 1
        published = replace(draft, version=version, effective_ms=effective_ms, author=author)
        batch = Batch()
        batch.put(
            control_key(ControlKind.PROGRAMME, version.to_bytes(8, "big")), _PROGRAMME.encode(published)
        )
        request_key = control_key(ControlKind.SETTING, b"publish/" + request.encode())
        batch.put(request_key, _PUBLISHED.encode(PublishRecord(version, draft_hash)))
        self._commit(batch)
        self._programmes.append(published)
        return published

    # --- callers --------------------------------------------------------------------------------

    @property
    def revoked(self) -> frozenset[str]:
        """The serials of revoked certificates."""
        return self._revoked

    def callers(self) -> Iterable[CallerRecord]:
        """Everybody with a certificate, by serial."""
        return (self._callers[serial] for serial in sorted(self._callers))

    def terminals_of(self, gateway: str) -> frozenset[str]:
        """The terminals (store/terminal) that a gateway may act for."""
        return self._gateways.get(gateway, frozenset())

    def issued(self, caller: Caller, terminals: tuple[str, ...] = ()) -> None:
        """Notes a certificate that was issued."""
        record = CallerRecord(
            caller.serial, caller.role.value, caller.id, caller.store, caller.not_after_ms, False, terminals
        )
        batch = Batch()
        batch.put(control_key(ControlKind.TERMINAL, caller.serial.encode()), _CALLER.encode(record))
        self._commit(batch)
        self._callers[caller.serial] = record
        self._gateways = self._lists()

    def revoke(self, caller: Caller) -> int:
        """Revokes all certificates of a caller at once; says how many."""
        batch, count = Batch(), 0
        for serial, record in self._callers.items():
            same = (record.role, record.id, record.store) == (caller.role.value, caller.id, caller.store)
            if same and not record.revoked:
                revoked = replace(record, revoked=True)
                batch.put(control_key(ControlKind.TERMINAL, serial.encode()), _CALLER.encode(revoked))
                self._callers[serial] = revoked
                count += 1
        if count:
            self._commit(batch)
            self._revoked = frozenset(serial for serial, one in self._callers.items() if one.revoked)
            self._gateways = self._lists()
        return count

    def _lists(self) -> dict[str, frozenset[str]]:
        """Each gateway's list, as its newest certificate has it: a new enrolment replaces the list."""
        return {
            record.id: frozenset(record.terminals)
            for record in sorted(self._callers.values(), key=lambda record: record.not_after_ms)
            if record.role == Role.GATEWAY.value and not record.revoked
        }

    # --- enrolment codes ------------------------------------------------------------------------

    def pending(self, number: str) -> PendingEnrolment | None:
        """The code of that number that was handed out, or None."""
        data = self._store.get(control_key(ControlKind.STAFF, b"ticket/" + number.encode()))
        return None if data is None else _PENDING.decode(data)

    def keep_pending(self, number: str, pending: PendingEnrolment | None) -> None:
        """Keeps a code as it is now, or drops it."""
        batch = Batch()
        key = control_key(ControlKind.STAFF, b"ticket/" + number.encode())
        if pending is None:
            batch.delete(key)
        else:
            batch.put(key, _PENDING.encode(pending))
        self._commit(batch)

    def erased(self, person_id: bytes) -> None:
        """Notes that a person was erased, and need not be again until another backup is restored."""
        batch = Batch()
        put_erasure(batch, person_id)
        self._commit(batch)

    def erasures_to_repeat(self) -> list[bytes]:
        """The persons who were erased and whom a restore has brought back."""
        return erasures_to_repeat(self._store)

    def _commit(self, batch: Batch) -> None:
        self._store.write(batch)
        self._store.sync()
