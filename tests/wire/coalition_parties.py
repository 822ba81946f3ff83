"""Two merchants with keys, for tests of what they send each other."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.identity.signers import Signer, ed25519_signer
from node.wire.coalition import EnvelopeSealer, Opener

NOW_MS = 1_800_000_000_000
COALITION = "bazaar-of-nile"
HOUR_MS = 3_600_000


def signer(seed: int) -> Signer:
    """The same key for the same seed."""
    return ed25519_signer(Ed25519PrivateKey.from_private_bytes(bytes((seed,)) * 32))


@dataclass
class Keys:
    """Which keys were whose, from when until when."""

    coalition_id: str = COALITION
    skew_ms: int = 300_000
    partitions: dict[str, int] = field(default_factory=lambda: {"nile": 16, "saffron": 4})
    windows: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    def partitions_of(self, partner_id: str) -> int:
        return self.partitions.get(partner_id, 0)

    def may_sign(self, partner_id: str, key_uri: str, at_ms: int) -> bool:
        since_ms, until_ms = self.windows.get((partner_id, key_uri), (0, 0))
        return since_ms <= at_ms < until_ms


class Party:
    """A merchant that seals, and opens what is sent to it."""

    def __init__(self, partner_id: str, seed: int, keys: Keys) -> None:
        self.partner_id = partner_id
        self.signer = signer(seed)
        keys.windows[partner_id, self.signer.public_uri] = (0, NOW_MS + 1000 * HOUR_MS)
        self.sealer = EnvelopeSealer(keys.coalition_id, partner_id, lambda _: self.signer)
        self.opener = Opener(partner_id, lambda: keys)
