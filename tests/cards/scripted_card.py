"""A card that answers from a script, and holds its host to it."""


class ScriptedCard:
    """Plays pairs of command and answer (hex, blanks allowed) in order; any other command fails the test."""

    def __init__(self, *script: tuple[str, str]) -> None:
        self._script = [(bytes.fromhex(command), bytes.fromhex(answer)) for command, answer in script]
        self.heard: list[bytes] = []

    def transmit(self, apdu: bytes) -> bytes:
        self.heard.append(apdu)
        assert self._script, f"the card was asked more than its script has: {apdu.hex()}"
        command, answer = self._script.pop(0)
        assert apdu.hex() == command.hex()
        return answer

    @property
    def finished(self) -> bool:
        """Whether the whole script was played."""
        return not self._script
