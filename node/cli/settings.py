"""Changing one key of vafa.toml: the comments around it stay."""

from __future__ import annotations

import json
import re


def with_setting(toml: str, key: str, value: str | int) -> str:
    """The configuration's text with one key set, which is written on one line of its own."""
    # JSON writes strings and whole numbers as TOML does.
    line = f"{key} = {json.dumps(value, ensure_ascii=False)}"
    text, count = re.subn(rf"(?m)^{key}\s*=.*$", lambda _: line, toml)
    if count != 1:
        raise ValueError(f"{key} stands on {count} lines")
    return text
