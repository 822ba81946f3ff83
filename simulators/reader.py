"""A till's card reader: the member's chip card proves a spend, and a tap says whose card it is.

The till is a pipe. It holds no key and understands no command: the node asks, the card answers. An answer is
taken once, so a conversation that breaks off is not continued; it begins anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from node.proto.vafa.coalition.v1 import envelope_pb2
from node.proto.vafa.common.v1 import balance_pb2, identifier_pb2
from node.proto.vafa.pos.v1 import card_pb2
from simulators.refusal import Refused, refusal_of_error

MAX_COMMANDS = 12
"""Of one conversation; the longest takes six."""
CALL_SECONDS = 6.0
TRIES = 2

Transmit = Callable[[bytes], bytes]
"""Sends a command to the card on the reader, and gives its answer."""


async def prove(
    pos: Any, shown: identifier_pb2.Identifier, spend: balance_pb2.Spend, transmit: Transmit
) -> envelope_pb2.MemberProof:
    """One conversation with the card that lies on the reader; `pos` is the till's stub of PosService.

    What the node refuses comes out as the stub gives it.
    """
    asked = card_pb2.BeginCardProofRequest(identifier=shown, spend=spend)
    begun = await pos.BeginCardProof(asked, timeout=CALL_SECONDS)
    apdu = begun.command_apdu
    for _ in range(MAX_COMMANDS):
        step = card_pb2.ContinueCardProofRequest(
            identifier=shown, spend=spend, session_id=begun.session_id, response_apdu=transmit(apdu)
        )
        answer = await pos.ContinueCardProof(step, timeout=CALL_SECONDS)
        if answer.WhichOneof("next") == "proof":
            proof: envelope_pb2.MemberProof = answer.proof
            return proof
        apdu = answer.command_apdu
    raise AssertionError("the conversation does not end")


async def prove_at_till(
    pos: Any, shown: identifier_pb2.Identifier, spend: balance_pb2.Spend, transmit: Transmit
) -> envelope_pb2.MemberProof:
    """The same as a till does it: once more where the line failed. `Refused` where the card is not taken."""
    for tries_left in reversed(range(TRIES)):
        try:
            return await prove(pos, shown, spend, transmit)
        except grpc.aio.AioRpcError as error:
            refusal = refusal_of_error(error)
            if not tries_left or refusal.reason == "PROOF_REFUSED":
                raise Refused(refusal) from None
    raise AssertionError("the last try gives or raises")
