"""A shard's part in a coalition: its commands, the keys that sign for it, and what each batch wants said.

Commands of the coalition come after the batch's others, one at a time, and their changes go into the same
batch. What is said is signed before the sync and handed out after it, as everything that a shard answers.
`HomeSide` and `AcquirerSide` do the work; nothing in memory is ahead of what they put into the batch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import date
from functools import lru_cache, partial

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from node.actors.acquirer import AcquirerSide
from node.actors.coalition_spec import CoalitionSpec, rules_of
from node.actors.desk import Desk, describe
from node.actors.home import HomeSide
from node.actors.lane_disputes import LaneDisputes
from node.actors.lane_states import ShardLaneStates
from node.actors.lane_sums import LaneSums
from node.actors.member import MemberActor, internal_fault
from node.actors.partition import Partition
from node.actors.restored import RestoredMarks
from node.actors.turn import Opening, Turn
from node.actors.work import Work
from node.coalition.directory import Directory
from node.coalition.envelopes import Draft, Encoder, Envelope, Message
from node.coalition.proofs import ProofRules
from node.coalition.pseudonyms import pseudonym
from node.identity.coalition_secrets import CoalitionSecrets
from node.identity.exchange_keys import ExchangeKeys
from node.identity.signers import Signer, ed25519_signer
from node.ledger.days import local_date
from node.wire.coalition import EnvelopeSealer, Opener, Unopened
from node.wire.coalition_bodies import ENCODER
from node.wire.coalition_directory import read_directory
from node.wire.coalition_trust import KnownDirectories
from node.wire.commands import Answer, Command, Op, done, refused

FIRST_OP = Op.HOME_MESSAGE
"""The commands of the coalition have numbers from here on."""

Members = Callable[[Partition, bytes, Work], MemberActor]

CACHED_PSEUDONYMS = 20_000
"""Names of accounts towards partners that are remembered: each is said twice in an exchange."""

_EPOCH = date(1970, 1, 1)

log = structlog.get_logger()


class Abroad:
    """The coalition's commands on one shard. `entropy` gives random bytes: codes and nonces are made of
    them.
    """

    def __init__(
        self,
        spec: CoalitionSpec,
        desk: Desk,
        secrets: CoalitionSecrets,
        partitions: dict[int, Partition],
        members: Members,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.desk = desk
        self.secrets = secrets
        self.partitions = partitions
        self.members = members
        self.entropy = entropy
        self._pseudonym = lru_cache(CACHED_PSEUDONYMS)(partial(pseudonym, secrets.pseudonyms))
        self.follow(spec)
        self.marks = RestoredMarks(lambda: self.directory, spec.own_id)
        self.opener = Opener(spec.own_id, lambda: self.known)
        self._home = HomeSide(self)
        self._acquirer = AcquirerSide(self)
        self._sums = LaneSums(self._home)
        self._disputes = LaneDisputes(self)
        self._states = ShardLaneStates(self, self._home.lanes, self._acquirer.lanes)

    def follow(self, spec: CoalitionSpec) -> None:
        """Takes newer directories, keys and rules into use; lanes that are open stay open."""
        self.spec = spec
        self.known = KnownDirectories([read_directory(data) for data in spec.directories])
        keys = ExchangeKeys({signer.public_uri: signer for signer in map(_signer, spec.signing_keys)})
        self._sealer = EnvelopeSealer(
            self.known.coalition_id,
            spec.own_id,
            lambda at_ms: keys.valid_one(lambda uri: self.known.may_sign(spec.own_id, uri, at_ms)),
        )

    @property
    def directory(self) -> Directory:
        """The newest directory."""
        return self.known.newest

    @property
    def encoder(self) -> Encoder:
        """Serialises bodies."""
        return ENCODER

    def pseudonym(self, partner_id: str, account_id: bytes) -> bytes:
        """An account's name towards a partner."""
        return self._pseudonym(partner_id, account_id)

    def local_day(self, at_ms: int) -> int:
        """The merchant's local day, as days since 1970-01-01."""
        return (local_date(at_ms, self.desk.settings.time_zone) - _EPOCH).days

    def rules(self, at_ms: int) -> ProofRules:
        """What each proof may spend abroad, by the programme in force."""
        return rules_of(self.desk.programmes.at(at_ms).compiled.programme, self.spec.rules)

    def seal(self, draft: Draft, receiver_id: str, now_ms: int) -> Message:
        """A draft, signed."""
        return self._sealer.seal(draft, receiver_id, now_ms)

    def evidence(self, envelopes: Sequence[bytes]) -> tuple[Message, ...]:
        """What came beside a message, as far as its signatures hold."""
        opened = [self.opener.evidence(envelope) for envelope in envelopes]
        return tuple(message for message in opened if not isinstance(message, Unopened))

    def read(self, envelope: Envelope) -> Message:
        """An envelope of our own, from our own store."""
        return ENCODER.message(envelope)

    def handle(
        self,
        commands: Sequence[tuple[int, Command]],
        work: Work,
        woken: dict[MemberActor, None],
        answers: list[Answer | None],
    ) -> None:
        """Handles the coalition's commands of one batch, in their order."""
        turn = Turn(work, woken)
        openings: list[tuple[int, Opening]] = []
        for place, command in commands:
            partition = self.partitions[command.partition]
            opening = Opening(command, partition, turn)
            try:
                found = self._do(opening)
            except self.desk.storage_faults:
                raise
            except Exception as fault:
                log.error("exchange_faulted", operation=command.op, fault=describe(fault), exc_info=fault)
                found = refused(internal_fault())
            if found is None:
                openings.append((place, opening))
            else:
                answers[place] = found
        self._acquirer.acknowledge(turn, [opening for _, opening in openings])
        for place, opening in openings:
            answers[place] = done(opening.outcome())

    def _do(self, opening: Opening) -> Answer | None:
        """One command; what is to be answered is collected in the opening, unless it is refused as it is."""
        op = opening.command.op
        if op in self._home.ops:
            return self._home.ops[op](opening)
        if op in self._acquirer.ops:
            return self._acquirer.ops[op](opening)
        if op in self._sums.ops:
            return self._sums.ops[op](opening)
        if op in self._disputes.ops:
            return self._disputes.ops[op](opening)
        if op in self._states.ops:
            return self._states.ops[op](opening)
        raise ValueError(f"no command of the coalition has the number {op}")


def _signer(pem: bytes) -> Signer:
    key = load_pem_private_key(pem, password=None)
    assert isinstance(key, Ed25519PrivateKey), "the gateway has read the key before"
    return ed25519_signer(key)
