"""What a shard is told of the coalition, as plain data that travels to wherever it runs."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from node.coalition.proofs import ProofRule, ProofRules
from node.programme.model import Programme, ProofKind

DEFAULT_RULES = ProofRules(
    confirmation_code=ProofRule(transaction_units=1_000_000, day_units=2_000_000),
    app_answer=ProofRule(transaction_units=1_000_000, day_units=2_000_000),
    card_cryptogram=ProofRule(transaction_units=1_000_000, day_units=2_000_000),
)


def rules_of(programme: Programme, otherwise: ProofRules) -> ProofRules:
    """What each proof may spend abroad: as the programme lists them; `otherwise` where it lists none.

    A PIN is none of them, and spends nothing abroad.
    """
    listed = {
        limit.proof.name.lower(): ProofRule(limit.transaction_units, limit.daily_units)
        for limit in programme.proofs
        if limit.proof is not ProofKind.PIN
    }
    return ProofRules(**listed) if listed else otherwise


class CoalitionSpec(Struct, frozen=True):
    """A node's part in a coalition.

    `directories` are SignedDirectories as bytes, accepted by the gateway, oldest first. `signing_keys` are
    this node's exchange keys as PKCS #8 in PEM. `rules` are what each proof may spend abroad where the
    programme does not say.
    `tells_balance`: whether a partner that knows a member's identifier is told the balance before any proof.
    """

    own_id: str
    directories: tuple[bytes, ...]
    signing_keys: tuple[bytes, ...]
    rules: ProofRules = DEFAULT_RULES
    tells_balance: bool = True

    def __repr__(self) -> str:
        return f"CoalitionSpec(own_id={self.own_id!r})"


SPEC = msgspec.msgpack.Decoder(CoalitionSpec)
encode_spec = msgspec.msgpack.Encoder().encode
