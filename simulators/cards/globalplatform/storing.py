"""STORE DATA: into the security domain, or on to the application that is being personalised (11.11)."""

from __future__ import annotations

from cards.apdu import Command
from simulators.cards.globalplatform import applet, tlv
from simulators.cards.globalplatform.channel import SecureChannel
from simulators.cards.globalplatform.memory import GlobalPlatformMemory
from simulators.cards.status import NOT_ALLOWED, REFERENCE_NOT_FOUND, WRONG_P1_P2, Status

_LAST = 0x80
_FORMAT, _TAGGED = 0x18, 0x10
_STORED = (0x42, 0x45)
"""Issuer and card image number: what the domain lets be stored in itself."""


class Storing:
    """A row of STORE DATA blocks, numbered from 0. It ends with the last block or another INSTALL."""

    def __init__(self, instance: str | None = None) -> None:
        self._instance = instance
        self._block = 0

    def take(self, memory: GlobalPlatformMemory, command: Command, channel: SecureChannel) -> None:
        """Store one block; what is for an application needs a channel with encryption (6982)."""
        if command.p2 != self._block:
            raise Status(WRONG_P1_P2)
        if self._instance is None:
            self._into_domain(memory, command)
        elif not channel.encrypts:
            raise Status(NOT_ALLOWED)
        else:
            instance = memory.instances[self._instance]
            applet.personalise(instance, command.p1, command.p2, command.data, channel.data_encryption)
        self._block += 1
        if command.p1 & _LAST:
            self._instance, self._block = None, 0

    def _into_domain(self, memory: GlobalPlatformMemory, command: Command) -> None:
        if command.p1 & _FORMAT not in (0, _TAGGED):
            raise Status(WRONG_P1_P2)
        objects = list(tlv.objects(command.data))
        if any(tag not in _STORED for tag, _ in objects):
            raise Status(REFERENCE_NOT_FOUND)
        memory.objects.update(objects)
