"""A card that speaks SCP03 and echoes, written from Amendment D apart from the host's code."""

from cards.crypto import CardKey, cmac, decrypt_cbc, encrypt_block, encrypt_cbc, pad, unpad
from cards.scp03 import StaticKeys

PLAIN, SECURED = 0x80, 0x84
UNKNOWN_KEY = b"\x6a\x88"
OK = b"\x90\x00"


class EchoCard:
    """Answers INITIALIZE UPDATE and EXTERNAL AUTHENTICATE; then echoes data, with the status word in P1
    P2.
    """

    def __init__(self, keys: StaticKeys, *, version: int = 0x30, i: int = 0x70, size: int = 8) -> None:
        self.keys, self.version, self.i, self.size = keys, version, i, size
        self.failures = 0
        self.heard: list[bytes] = []
        self.tamper = 0
        """Which byte of the next protected answers is flipped, counted from 1 at the front; 0 for none."""
        self.level = 0
        self._chain, self._count = bytes(16), 0
        self._enc = self._mac = self._rmac = CardKey(bytes(16))
        self._context = b""

    def _derive(self, key: CardKey, constant: int, size: int) -> bytes:
        made = b""
        for counter in (1, 2):
            fixed = bytes(11) + bytes([constant, 0]) + (size * 8).to_bytes(2, "big") + bytes([counter])
            made += cmac(key, fixed + self._context)
        return made[:size]

    def transmit(self, apdu: bytes) -> bytes:
        self.heard.append(apdu)
        if apdu[1] == 0x50:
            return self._greet(apdu)
        if apdu[1] == 0x82:
            return self._authenticate(apdu)
        return self._echo(apdu)

    def _greet(self, apdu: bytes) -> bytes:
        if apdu[2] not in (0, self.version):
            return UNKNOWN_KEY
        challenge = bytes(range(0xA0, 0xA0 + self.size))
        self._context = apdu[5 : 5 + apdu[4]] + challenge
        size = len(self.keys.enc)
        self._enc = CardKey(self._derive(self.keys.enc, 4, size))
        self._mac = CardKey(self._derive(self.keys.mac, 6, size))
        self._rmac = CardKey(self._derive(self.keys.mac, 7, size))
        self._chain, self._count, self.level = bytes(16), 0, 0
        cryptogram = self._derive(self._mac, 0, self.size)
        sequence = b"\0\0\7" if self.i & 0x10 else b""
        return b"CHIPNUMBER" + bytes([self.version, 3, self.i]) + challenge + cryptogram + sequence + OK

    def _authenticate(self, apdu: bytes) -> bytes:
        cryptogram, mac = apdu[5 : 5 + self.size], apdu[5 + self.size :]
        good = cryptogram == self._derive(self._mac, 1, self.size) and self._takes(apdu[:5], cryptogram, mac)
        if not good:
            self.failures += 1
            return b"\x63\x00"
        self.level = apdu[2]
        return OK

    def _takes(self, header: bytes, data: bytes, mac: bytes) -> bool:
        self._chain = cmac(self._mac, self._chain + header + data)
        return mac == self._chain[: self.size]

    def _echo(self, apdu: bytes) -> bytes:
        length = apdu[4] if len(apdu) > 5 else 0
        data, status = apdu[5 : 5 + length], apdu[2:4]
        if self.level & 1:
            data, mac = data[: -self.size], data[-self.size :]
            if apdu[0] & 0x04 == 0 or not self._takes(bytes([apdu[0] & 0xFC]) + apdu[1:5], data, mac):
                return b"\x69\x82"
            self._count += 1
        if self.level & 2 and data:
            data = unpad(decrypt_cbc(self._enc, self._icv(0), data))
        if status != OK and status[0] not in (0x62, 0x63):
            return status
        return self._protected(data, status) + status

    def _protected(self, data: bytes, status: bytes) -> bytes:
        if self.level & 0x20 and data:
            data = encrypt_cbc(self._enc, self._icv(0x80), pad(data))
        if self.level & 0x10:
            data += cmac(self._rmac, self._chain + data + status)[: self.size]
        if self.tamper:
            spoiled = bytearray(data)
            spoiled[self.tamper - 1] ^= 1
            data = bytes(spoiled)
        return data

    def _icv(self, first: int) -> bytes:
        return encrypt_block(self._enc, bytes([first]) + self._count.to_bytes(15, "big"))
