"""Members' telephones: what a home node has said to them, read from the file that its gateway writes."""

from __future__ import annotations

import asyncio
import json
import re
import time
import unicodedata
from collections import defaultdict
from pathlib import Path

CODE_SECONDS = 8.0
"""How long a member at the till looks for the code before shrugging."""

_POLL_SECONDS = 0.01
_LAST_DIGITS = re.compile(r"(\d{6})\W*$")


class Phones:
    """The telephones of one merchant's members. `path` is the node's `message_file`; it may not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_bytes = 0
        self._texts: defaultdict[str, list[str]] = defaultdict(list)

    def texts(self, phone: str) -> list[str]:
        """All messages to a number so far, oldest first."""
        self._look()
        return list(self._texts[international(phone)])

    async def code(self, phone: str, after: int, acquirer_name: str) -> tuple[str, str]:
        """The code in the first message past the first `after` that names the acquirer, and its words.

        Both empty where none came in time: the member then has no code to say.
        """
        give_up_at = time.monotonic() + CODE_SECONDS
        while time.monotonic() < give_up_at:
            for text in self.texts(phone)[after:]:
                found = _LAST_DIGITS.search(text)
                if found and acquirer_name in text:
                    return found[1], text
            await asyncio.sleep(_POLL_SECONDS)
        return "", ""

    def _look(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._read_bytes)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        for line in whole.splitlines():
            said = json.loads(line)
            self._texts[said["to"]].append(said["text"])


def international(phone: str) -> str:
    """A number typed with a country code in any digits, as E.164."""
    return "".join(str(unicodedata.digit(char)) if char.isdigit() else char for char in phone)
