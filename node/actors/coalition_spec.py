"""What a shard is told of the coalition, as plain data that travels to wherever it runs."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from node.coalition.proofs import ProofRule, ProofRules

DEFAULT_RULES = ProofRules(
    confirmation_code=ProofRule(transaction_units=1_000_000, day_units=2_000_000),
    app_answer=ProofRule(transaction_units=1_000_000, day_units=2_000_000),
    card_cryptogram=ProofRule(transaction_units=1_000_000, day_units=2_000_000),
)


class CoalitionSpec(Struct, frozen=True):
    """A node's part in a coalition.

    `directories` are SignedDirectories as bytes, accepted by the gateway, oldest first. `signing_keys` are
    this node's exchange keys as PKCS #8 in PEM. `rules` are what each proof may spend abroad.
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
