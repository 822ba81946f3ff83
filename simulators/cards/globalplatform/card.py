"""A GlobalPlatform card on the reader: selection, the issuer security domain, the channel, the applet."""

from __future__ import annotations

from collections.abc import Callable

from cards.apdu import Command
from cards.crypto import equal_in_constant_time
from simulators.cards.card import Answer, RandomBytes, VirtualCard
from simulators.cards.globalplatform import applet, content, keys, tlv
from simulators.cards.globalplatform import channel as scp03
from simulators.cards.globalplatform.channel import Handshake, SecureChannel
from simulators.cards.globalplatform.memory import (
    MAX_FAILURES,
    ApplicationState,
    GlobalPlatformMemory,
    Instance,
    KeySet,
    LifeCycle,
)
from simulators.cards.globalplatform.storing import Storing
from simulators.cards.status import (
    AUTHENTICATION_FAILED,
    BLOCKED,
    CONDITIONS_NOT_SATISFIED,
    NO_LOGICAL_CHANNEL,
    NOT_ALLOWED,
    NOT_FOUND,
    REFERENCE_NOT_FOUND,
    UNKNOWN_CLASS,
    UNKNOWN_INSTRUCTION,
    WARNING_CARD_LOCKED,
    WRONG_LE,
    WRONG_LENGTH,
    WRONG_P1_P2,
    Status,
)

_SELECT, _INITIALIZE, _AUTHENTICATE, _GET_DATA = 0xA4, 0x50, 0x82, 0xCA
_CHANNEL_BITS, _SECURE, _PROPRIETARY = 0x03, 0x04, 0x80
_BY_NAME = 0x04
_KEY_INFORMATION, _SEQUENCE = 0xE0, 0xC1


class GlobalPlatformCard(VirtualCard[GlobalPlatformMemory]):
    """The card. After the tap the issuer security domain is selected."""

    atr = bytes.fromhex("3B8580018073C821001E")
    """T=0 and T=1; historical bytes as ISO 7816-4 8.1.1 has them: applications are selected by (partial)
    name.
    """

    def __init__(self, memory: GlobalPlatformMemory, random_bytes: RandomBytes) -> None:
        super().__init__(memory, random_bytes)
        self.contactless_uid = memory.uid
        self._powered()

    def _powered(self) -> None:
        self._enter(None)

    def _enter(self, selected: str | None) -> None:
        """Select the domain (None) or an instance; whatever channel was open is closed."""
        self._selected = selected
        self._close()
        self._storing = Storing()
        self._listing = content.Listing()
        self._applet = None if selected is None else applet.LoyaltyApplet(self.memory.instances[selected])

    def _close(self) -> None:
        self._handshake: Handshake | None = None
        self._channel: SecureChannel | None = None

    # Frame

    def _process(self, command: Command) -> Answer:
        if command.cla & _CHANNEL_BITS:
            raise Status(NO_LOGICAL_CHANNEL)
        if command.cla & ~(_SECURE | _PROPRIETARY):
            raise Status(UNKNOWN_CLASS)
        if command.ins == _SELECT and command.cla == 0x00:
            return self._select(command)
        if command.ins == _INITIALIZE and self._selected is None:
            return self._initialize(command)
        if command.ins == _AUTHENTICATE and command.cla == _PROPRIETARY | _SECURE:
            return self._authenticate(command)
        return self._guarded(command)

    def _guarded(self, command: Command) -> Answer:
        """Through the channel, if there is one. A command that is not as the channel asks ends it."""
        channel = self._channel
        if channel is None:
            if command.cla & _SECURE:
                raise Status(UNKNOWN_CLASS if self._applet else NOT_ALLOWED)
            return self._cut(command, self._performed(command))
        try:
            plain = channel.open(command)
        except Status:
            self._close()
            raise
        try:
            answer = self._performed(plain)
        except Status as status:
            answer = Answer(status=status.word)
        sealed = channel.seal(answer)
        return sealed if command.cla & _SECURE else self._cut(command, sealed)

    def _cut(self, command: Command, answer: Answer) -> Answer:
        """ISO 7816-4: whoever asks for too few bytes is told how many there are."""
        if command.le is not None and len(answer.data) > command.le:
            return Answer(status=WRONG_LE | len(answer.data) & 0xFF)
        return answer

    def _performed(self, command: Command) -> Answer:
        if self._applet is not None:
            return self._applet.process(command)
        if command.ins == _GET_DATA:
            return self._get_data(command)
        if self.memory.life_cycle == LifeCycle.TERMINATED:
            raise Status(CONDITIONS_NOT_SATISFIED)
        if (managed := self._managed().get(command.ins)) is None:
            raise Status(UNKNOWN_INSTRUCTION)
        self._require_channel()
        return managed(command)

    # Selection

    def _select(self, command: Command) -> Answer:
        if command.p1 != _BY_NAME or command.p2 not in (0x00, 0x0C):
            raise Status(WRONG_P1_P2)
        wanted, life_cycle = command.data, self.memory.life_cycle
        if life_cycle == LifeCycle.TERMINATED:
            raise Status(CONDITIONS_NOT_SATISFIED)
        if self.memory.aid.startswith(wanted):
            self._enter(None)
            status = WARNING_CARD_LOCKED if life_cycle == LifeCycle.CARD_LOCKED else 0x9000
            return Answer(self._control_information(), status)
        if life_cycle == LifeCycle.CARD_LOCKED:
            raise Status(NOT_FOUND)
        for aid, instance in self.memory.instances.items():
            if bytes.fromhex(aid).startswith(wanted) and _may_be_selected(instance):
                self._enter(aid)
                return Answer(applet.control_information(bytes.fromhex(aid)))
        raise Status(NOT_FOUND)

    def _control_information(self) -> bytes:
        longest = tlv.encode(0x9F65, b"\xff")
        return tlv.encode(0x6F, tlv.encode(0x84, self.memory.aid) + tlv.encode(0xA5, longest))

    # SCP03 (Amendment D 7.1)

    def _initialize(self, command: Command) -> Answer:
        self._close()
        if self.memory.life_cycle == LifeCycle.TERMINATED:
            raise Status(CONDITIONS_NOT_SATISFIED)
        if command.cla != _PROPRIETARY or command.p2:
            raise Status(WRONG_P1_P2 if command.p2 else UNKNOWN_CLASS)
        if len(command.data) != scp03.CHALLENGE_BYTES:
            raise Status(WRONG_LENGTH)
        version, key_set = self._key_set(command.p1)
        if key_set.failures >= MAX_FAILURES:
            raise Status(BLOCKED)
        # The counter moves before it is used, so that no challenge is ever given twice.
        key_set.sequence += 1
        challenge = scp03.card_challenge(key_set, self.memory.aid)
        self._handshake = Handshake.begin(version, key_set, command.data, challenge)
        return Answer(
            self.memory.diversification
            + bytes([version, 0x03, scp03.IMPLEMENTATION])
            + challenge
            + self._handshake.card_cryptogram
            + key_set.sequence.to_bytes(3, "big")
        )

    def _key_set(self, version: int) -> tuple[int, KeySet]:
        if version == 0:
            return next(iter(self.memory.key_sets.items()))
        if version not in self.memory.key_sets:
            raise Status(REFERENCE_NOT_FOUND)
        return version, self.memory.key_sets[version]

    def _authenticate(self, command: Command) -> Answer:
        handshake = self._handshake
        self._close()
        if handshake is None:
            raise Status(CONDITIONS_NOT_SATISFIED)
        if command.p1 not in scp03.LEVELS or command.p2:
            raise Status(WRONG_P1_P2)
        if len(command.data) != scp03.CHALLENGE_BYTES + scp03.MAC_BYTES:
            raise Status(WRONG_LENGTH)
        key_set = self.memory.key_sets[handshake.version]
        channel = SecureChannel(handshake, command.p1)
        try:
            cryptogram = channel.check_mac(command)
        except Status:
            cryptogram = b""
        if not equal_in_constant_time(cryptogram, handshake.host_cryptogram):
            key_set.failures += 1
            raise Status(AUTHENTICATION_FAILED)
        key_set.failures = 0
        self._channel = channel
        return Answer()

    # The domain's commands

    def _managed(self) -> dict[int, Callable[[Command], Answer]]:
        return {0xD8: self._put_key, 0xE2: self._store_data, 0xE4: self._delete, 0xE6: self._install,
                0xF0: self._set_status, 0xF2: self._get_status}  # fmt: skip

    def _require_channel(self) -> None:
        """Content is managed through a channel only, and on a SECURED card through one with a MAC."""
        if self._channel is None:
            raise Status(NOT_ALLOWED)
        if self.memory.life_cycle >= LifeCycle.SECURED and not self._channel.level:
            raise Status(NOT_ALLOWED)

    def _get_data(self, command: Command) -> Answer:
        tag = command.p1 << 8 | command.p2
        if tag == _KEY_INFORMATION:
            return Answer(tlv.encode(tag, b"".join(map(_described, self.memory.key_sets.items()))))
        if tag == _SEQUENCE:
            _, key_set = self._key_set(0)
            return Answer(tlv.encode(tag, key_set.sequence.to_bytes(3, "big")))
        if (value := self.memory.objects.get(tag)) is None:
            raise Status(REFERENCE_NOT_FOUND)
        return Answer(tlv.encode(tag, value))

    def _put_key(self, command: Command) -> Answer:
        assert self._channel is not None, "the command needs a channel"
        dek = self._channel.data_encryption
        return Answer(keys.put(self.memory, command.p1, command.p2, command.data, dek))

    def _delete(self, command: Command) -> Answer:
        if command.p1 or command.p2 & ~_PROPRIETARY:
            raise Status(WRONG_P1_P2)
        return Answer(content.delete(self.memory, command.data))

    def _install(self, command: Command) -> Answer:
        if command.p2:
            raise Status(WRONG_P1_P2)
        confirmation, personalised = content.install(self.memory, command.p1, command.data)
        self._storing = Storing(personalised)
        return Answer(confirmation)

    def _set_status(self, command: Command) -> Answer:
        content.set_status(self.memory, command.p1, command.p2, command.data)
        return Answer()

    def _get_status(self, command: Command) -> Answer:
        return self._listing.show(self.memory, command.p1, command.p2, command.data)

    def _store_data(self, command: Command) -> Answer:
        assert self._channel is not None, "the command needs a channel"
        self._storing.take(self.memory, command, self._channel)
        return Answer()


def _may_be_selected(instance: Instance) -> bool:
    return instance.state >= ApplicationState.SELECTABLE and not instance.state & ApplicationState.LOCKED


def _described(entry: tuple[int, KeySet]) -> bytes:
    """Key information: identifier, version, type AES, length (table 11-28)."""
    version, key_set = entry
    return b"".join(
        tlv.encode(0xC0, bytes([number, version, 0x88, len(key)]))
        for number, key in enumerate(key_set.keys, start=1)
    )
