"""The reader's end of EV2, no more than these tests need: what a card says must make sense to somebody
else.
"""

from cards.crypto import CardKey, cmac, decrypt_cbc, encrypt_block, encrypt_cbc, odd_bytes, pad, unpad, xor
from simulators.cards.card import VirtualCard

ZERO = CardKey(bytes(16))
_IV = bytes(16)


def native(ins: int, data: bytes = b"") -> bytes:
    """A native command in its ISO wrapping."""
    return bytes([0x90, ins, 0, 0]) + (bytes([len(data)]) + data if data else b"") + b"\0"


class Ev2Host:
    """One session. `tell` sends a command in a mode and gives the answer's plain data and status."""

    def __init__(self, card: VirtualCard) -> None:  # type: ignore[type-arg]  # whatever the card keeps
        self.card = card
        self.transaction = b""
        self.counter = 0

    def plain(self, ins: int, data: bytes = b"") -> tuple[bytes, int]:
        answer = self.card.transmit(native(ins, data))
        return answer[:-2], int.from_bytes(answer[-2:], "big")

    def authenticate(self, number: int = 0, key: CardKey = ZERO, *, first: bool = True) -> int:
        challenge, status = self.plain(0x71 if first else 0x77, bytes([number, 0] if first else [number]))
        if status != 0x91AF:
            return status
        rnd_b = decrypt_cbc(key, _IV, challenge)
        rnd_a = bytes(range(0x40, 0x50))
        proof, status = self.plain(0xAF, encrypt_cbc(key, _IV, rnd_a + rnd_b[1:] + rnd_b[:1]))
        if status != 0x9100:
            return status
        answer = decrypt_cbc(key, _IV, proof)
        if first:
            self.transaction, self.counter = answer[:4], 0
            answer = answer[4:]
        assert answer[:16] == rnd_a[1:] + rnd_a[:1], "the card did not prove itself"
        context = rnd_a[:2] + xor(rnd_a[2:8], rnd_b[:6]) + rnd_b[6:] + rnd_a[8:]
        self.encryption = CardKey(cmac(key, bytes.fromhex("a55a00010080") + context))
        self.mac_key = CardKey(cmac(key, bytes.fromhex("5aa500010080") + context))
        return status

    def tell(
        self, ins: int, header: bytes = b"", data: bytes = b"", mode: str = "mac", sealed: bool = True
    ) -> tuple[bytes, int]:
        if mode == "full" and data:
            data = encrypt_cbc(self.encryption, self._vector(b"\xa5\x5a"), pad(data))
        if mode != "plain":
            data += self._mac(ins, header + data)
        answer, status = self.plain(ins, header + data)
        whole = answer
        while status == 0x91AF:
            answer, status = self.plain(0xAF)
            whole += answer
        self.counter += 1
        if status != 0x9100 or mode == "plain" or not sealed:
            return whole, status
        body, mac = whole[:-8], whole[-8:]
        assert mac == self._mac(0x00, body), "the card's MAC is wrong"
        if mode == "full" and body:
            body = unpad(decrypt_cbc(self.encryption, self._vector(b"\x5a\xa5"), body))
        return body, status

    def _mac(self, first: int, data: bytes) -> bytes:
        return odd_bytes(
            cmac(self.mac_key, bytes([first]) + self.counter.to_bytes(2, "little") + self.transaction + data)
        )

    def _vector(self, label: bytes) -> bytes:
        return encrypt_block(
            self.encryption, label + self.transaction + self.counter.to_bytes(2, "little") + bytes(8)
        )
