"""The vault: persons' data, sealed under a key for each person, whose destruction is the erasure.

What goes in or out of it goes with the batch of the decision that calls for it, so a person's data and the
journal's note of it are durable together. Nothing else in a store holds personal data.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from node.identity.keys import SecretKey
from node.identity.sealing import SealBroken, new_person_key, seal, unseal
from node.ledger.refusals import Reason, Refused, refuse
from node.people.person import Person
from node.storage.keyspace import person_key, person_secret_key
from node.wire.persons import PERSON_DATA
from node.wire.records import PERSON, PersonRecord

if TYPE_CHECKING:
    from node.actors.desk import Case


_PINS = b"vafa member pins v1"


class Vault:
    """Opens and closes sealed persons under the node's master key, which wraps every person's own."""

    def __init__(self, master_key: SecretKey) -> None:
        self._master = master_key
        self.pin_secret = hmac.digest(master_key.raw, _PINS, "sha256")
        """Keys what is kept of members' PINs."""

    def keep(self, case: Case, person_id: bytes, person: Person) -> None:
        """Seals a person's data, to be written if the case is accepted. Their key is made the first time."""
        number = case.partition.number
        wrapped = case.work.get(person_secret_key(number, person_id))
        if wrapped is None:
            wrapped = new_person_key(self._master)
            case.puts.append((person_secret_key(number, person_id), wrapped))
        before = case.work.get(person_key(number, person_id))
        version = 1 if before is None else PERSON.decode(before).version + 1
        sealed = seal(self._master, wrapped, person_id.hex(), version, PERSON_DATA.encode(person))
        case.puts.append((person_key(number, person_id), PERSON.encode(PersonRecord(version, sealed))))

    def open(self, case: Case, person_id: bytes) -> Person | Refused | None:
        """What is known of a person; None where nothing is, a refusal where it does not open any more."""
        number = case.partition.number
        data = case.work.get(person_key(number, person_id))
        wrapped = case.work.get(person_secret_key(number, person_id))
        if data is None or wrapped is None:
            return None
        record = PERSON.decode(data)
        try:
            return PERSON_DATA.decode(
                unseal(self._master, wrapped, person_id.hex(), record.version, record.sealed)
            )
        except SealBroken:
            return refuse(
                Reason.INTERNAL,
                "What is known of this person does not open with the node's master key. The account and its "
                "balances are untouched; restore the key, or the data from a backup.",
            )

    def destroy(self, case: Case, person_id: bytes) -> None:
        """Deletes a person's key and data, if the case is accepted: no backup of the data opens any more."""
        number = case.partition.number
        case.puts.append((person_secret_key(number, person_id), b""))
        case.puts.append((person_key(number, person_id), b""))
