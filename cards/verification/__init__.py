"""Is the real card there, and did it prove this sale? Asked at the home node, wherever the card stands.

Pure: plain data in and out; time, chance and counters are arguments; a refusal is a value. Three ways to
prove:

- `online`: the node talks with the card through the till, and a MACed command binds the sale;
- `applet`: the cryptogram of the loyalty applet, made without the node and verified later;
- `sun`: a tap, which proves the card but no sale, and so is for small amounts under a daily cap.

`evidence` packs what a till hands in into the bytes of a member proof.
"""

from cards.verification.applet import AppletAnswer, internal_authenticate, parse_answer, verify_applet
from cards.verification.counters import CounterWindow
from cards.verification.evidence import (
    MAX_EVIDENCE_BYTES,
    AppletEvidence,
    Evidence,
    EvidenceMalformed,
    OnlineEvidence,
    SunEvidence,
    pack_evidence,
    unpack_evidence,
)
from cards.verification.online import SESSION_TTL_MS, Next, OnlineSession, Stage, advance, begin
from cards.verification.outcome import (
    CardRecord,
    CardRefusal,
    Method,
    Proven,
    Refused,
)
from cards.verification.sale import ExpectedSale, ProvenSale, Sale, SaleMalformed, parse_sale
from cards.verification.sessions import MAX_SESSIONS, PROOF_TTL_MS, OnlineSessions
from cards.verification.sun import verify_sun

__all__ = [
    "MAX_EVIDENCE_BYTES",
    "MAX_SESSIONS",
    "PROOF_TTL_MS",
    "SESSION_TTL_MS",
    "AppletAnswer",
    "AppletEvidence",
    "CardRecord",
    "CardRefusal",
    "CounterWindow",
    "Evidence",
    "EvidenceMalformed",
    "ExpectedSale",
    "Method",
    "Next",
    "OnlineEvidence",
    "OnlineSession",
    "OnlineSessions",
    "Proven",
    "ProvenSale",
    "Refused",
    "Sale",
    "SaleMalformed",
    "Stage",
    "SunEvidence",
    "advance",
    "begin",
    "internal_authenticate",
    "pack_evidence",
    "parse_answer",
    "parse_sale",
    "unpack_evidence",
    "verify_applet",
    "verify_sun",
]
