"""Bodies of messages between partners: from structs to bytes and back, one proto for each type."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtoMessage

from node.coalition.envelopes import AppAnswer, Envelope, Header, MemberProof, Message
from node.coalition.messages import BODIES, Body, MessageType, Posted, PostedCore
from node.proto.vafa.coalition.v1 import envelope_pb2, exchange_pb2, lane_pb2
from node.wire.coalition_fields import MAX_UNITS, OutOfBounds, converter, read_as

_PROTOS: dict[MessageType, type[ProtoMessage]] = {
    MessageType.RESERVE: exchange_pb2.Reserve,
    MessageType.AUTHORIZED: exchange_pb2.Authorized,
    MessageType.DECLINED: exchange_pb2.Declined,
    MessageType.CAPTURE: exchange_pb2.Capture,
    MessageType.CANCEL: exchange_pb2.Cancel,
    MessageType.POSTED: exchange_pb2.Posted,
    MessageType.VOIDED: exchange_pb2.Voided,
    MessageType.ACCRUE: exchange_pb2.Accrue,
    MessageType.RETURN: exchange_pb2.ReturnAbroad,
    MessageType.QUERY: exchange_pb2.Query,
    MessageType.HEAD_ACK: lane_pb2.HeadAck,
    MessageType.HELLO: lane_pb2.Hello,
    MessageType.HELLO_REPLY: lane_pb2.HelloReply,
    MessageType.HELLO_REQUEST: lane_pb2.HelloRequest,
    MessageType.CHALLENGE: exchange_pb2.Challenge,
    MessageType.CHALLENGED: exchange_pb2.Challenged,
    MessageType.REFUSAL: exchange_pb2.Refusal,
    MessageType.INQUIRE: exchange_pb2.Inquire,
    MessageType.INQUIRED: exchange_pb2.Inquired,
    MessageType.SETTLEMENT: lane_pb2.Settlement,
    MessageType.CARD_STEP: exchange_pb2.CardStep,
    MessageType.CARD_STEPPED: exchange_pb2.CardStepped,
}
_TYPES = {kind: type_ for type_, kind in BODIES.items()}


class ProtoEncoder:
    """Serialises bodies and cores (`coalition.envelopes.Encoder`): the same struct always gives the same
    bytes.
    """

    def body(self, body: Body) -> bytes:
        """The serialised body."""
        message = _PROTOS[_TYPES[type(body)]]()
        if isinstance(body, Posted):
            assert isinstance(message, exchange_pb2.Posted)
            message.core, message.hash = body.core_bytes, body.hash
            message.balance_units, message.pseudonym = body.balance_units, body.pseudonym
        else:
            converter(type(body)).fill(message, body)
        return message.SerializeToString(deterministic=True)

    def core(self, core: PostedCore) -> bytes:
        """The serialised core of a posting."""
        message = exchange_pb2.PostedCore()
        converter(PostedCore).fill(message, core)
        return message.SerializeToString(deterministic=True)

    def epoch(self, envelope: Envelope) -> int:
        """The epoch in which an envelope of our own was signed."""
        return read_header(envelope.header).epoch

    def message(self, envelope: Envelope) -> Message:
        """An envelope of our own with what it says; its signature is not verified again."""
        header = read_header(envelope.header)
        body = read_body(header.type, envelope.body)
        return Message(header, body, envelope.header, envelope.body, envelope.signature)

    def read(self, type_: MessageType, data: bytes) -> Body:
        """The body that these bytes of our own are; raises OutOfBounds."""
        return read_body(type_, data)


ENCODER = ProtoEncoder()


def read_body(type_: MessageType, data: bytes) -> Body:
    """The body of that type; raises OutOfBounds for bytes that are none, or that pass a bound."""
    message = _parsed(_PROTOS[type_](), data)
    if isinstance(message, exchange_pb2.Posted):
        return _posted(message)
    return read_as(BODIES[type_], message)  # type: ignore[return-value]  # BODIES holds nothing but bodies


def _posted(message: exchange_pb2.Posted) -> Posted:
    core = read_as(PostedCore, _parsed(exchange_pb2.PostedCore(), message.core))
    if len(message.hash) != 32 or len(message.pseudonym) > 32:
        raise OutOfBounds("Posted.hash or Posted.pseudonym holds a value outside its bounds")
    if not -MAX_UNITS <= message.balance_units <= MAX_UNITS:
        raise OutOfBounds("Posted.balance_units holds a value outside its bounds")
    return Posted(message.core, core, message.hash, message.balance_units, message.pseudonym)


def header_bytes(header: Header) -> bytes:
    """A header as it is signed."""
    message = envelope_pb2.Header()
    converter(Header).fill(message, header)
    return message.SerializeToString(deterministic=True)


def read_header(data: bytes) -> Header:
    """The header that some bytes are; raises OutOfBounds."""
    return read_as(Header, _parsed(envelope_pb2.Header(), data))


def proof_message(proof: MemberProof) -> envelope_pb2.MemberProof:
    """A member's proof as it travels."""
    message = envelope_pb2.MemberProof()
    if proof.confirmation_code:
        message.confirmation_code = proof.confirmation_code
    elif proof.app_answer is not None:
        message.app_answer.SetInParent()
        converter(AppAnswer).fill(message.app_answer, proof.app_answer)
    elif proof.pin:
        message.pin = proof.pin
    else:
        message.card_cryptogram = proof.card_cryptogram
    return message


def proof_bytes(proof: MemberProof) -> bytes:
    """What the commitment to a proof is made over."""
    return proof_message(proof).SerializeToString(deterministic=True)


def read_proof(message: envelope_pb2.MemberProof) -> MemberProof | None:
    """The proof, None where none is set; raises OutOfBounds."""
    kind = message.WhichOneof("proof")
    if kind is None:
        return None
    if kind == "app_answer":
        return MemberProof(app_answer=read_as(AppAnswer, message.app_answer))
    most = 1024 if kind == "card_cryptogram" else 32
    value = getattr(message, kind)
    if not 0 < len(value) <= most:
        raise OutOfBounds("MemberProof holds a value outside its bounds")
    return MemberProof(**{kind: value})


def read_proof_bytes(data: bytes) -> MemberProof | None:
    """The proof that `proof_bytes` made some bytes of; None of none."""
    message = envelope_pb2.MemberProof()
    _parsed(message, data)
    return read_proof(message)


def _parsed(message: ProtoMessage, data: bytes) -> ProtoMessage:
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise OutOfBounds(f"the bytes are no {message.DESCRIPTOR.name}") from None
    return message
