"""The last act of the demo: a merchant's disk loses one record, and the next windows find out and mend it.

The window with the loss is closed all the same: both sides agree up to the record before it, the question
which record that is goes over the wire, and what comes after it waits. The node that lacks the record fetches
it from the other, and the next window settles it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.config import load
from node.storage import coalition_keys as keys
from node.storage.coalition_keys import Role
from node.storage.keyspace import Kind, kind_range
from node.storage.rocks import RocksStore
from node.storage.store import Batch
from node.wire.coalition_bodies import ENCODER
from node.wire.coalition_store import LANE_ENTRY
from simulators.demo.coalition.commands import vafa
from simulators.demo.coalition.merchants import Merchant
from simulators.launch import NodeFailed

_POLL_SECONDS = 1.0


@dataclass(slots=True)
class Mismatch:
    """What was lost, and what became of it. `kind` is the class that both sides signed, `lane` and `n` the
    first record that differs; `report` is what a person in finance reads; `settled_next` says that the window
    after it settled the record.
    """

    home_id: str = ""
    acquirer_id: str = ""
    lane: int = -1
    n: int = 0
    kind: str = ""
    report: str = ""
    settled_next: bool = False

    @property
    def shown(self) -> dict[str, Any]:
        """For a machine."""
        return {
            "class": self.kind,
            "home": self.home_id,
            "acquirer": self.acquirer_id,
            "lane": self.lane,
            "n": self.n,
            "settled_next": self.settled_next,
        }


def lose_a_record(home: Merchant, acquirer: Merchant, window: int) -> Mismatch:
    """Takes the newest record of a lane out of the acquirer's disk, as a failing one would; its node must be
    stopped. `NodeFailed` where the two have none in that window.
    """
    data = load(acquirer.node.config_path).storage.directory
    for path in sorted(data.glob("shard-*/db")):
        store = RocksStore(path)
        try:
            found = _newest(store, home.merchant_id, window)
            if found is not None:
                batch = Batch()
                batch.delete(found)
                store.write(batch)
                store.sync()
                *_, lane, number = keys.parse_lane_record(found)
                return Mismatch(home.merchant_id, acquirer.merchant_id, lane, number)
        finally:
            store.close()
    raise NodeFailed(
        f"No sale to a member of {home.merchant_id} in window {window} ends a lane at "
        f"{acquirer.merchant_id}: the window was cut before the demo came so far, for this machine is busy. "
        "Run it again when it is less so."
    )


def _newest(store: RocksStore, home_id: str, window: int) -> bytes | None:
    """The key of the newest record of some lane with a home node, where that one is in the window."""
    last: dict[int, tuple[bytes, bytes]] = {}
    for partition in range(64):
        for key, value in store.scan(*kind_range(partition, Kind.LANE_RECORD)):
            _, role, partner_id, lane, _ = keys.parse_lane_record(key)
            if role is Role.ACQUIRER and partner_id == home_id:
                last[lane] = key, value
    for key, value in last.values():
        entry = LANE_ENTRY.decode(value)
        core = ENCODER.message(entry.posted).body.core  # type: ignore[union-attr]  # a record is a POSTED
        if core.window == window and entry.request is not None:
            return key
    return None


def until_signed(
    found: Mismatch, home: Merchant, window: int, give_up_at: float, said: Callable[[int], None]
) -> bool:
    """Waits until both have signed the close of a window with the lane in it, held back; takes over what they
    call it. Whether they did before `give_up_at`.
    """
    while time.monotonic() < give_up_at:
        shown = own_window(home, window)
        for close in shown["closes"]:
            if (close["home"], close["acquirer"]) == (found.home_id, found.acquirer_id):
                for held in close["disputed"] if len(close["signed_by"]) == 2 else ():
                    if (held["lane"], held["agreed_number"]) == (found.lane, found.n - 1):
                        found.kind = held["mismatch"]
                        said(1)
                        return True
        time.sleep(_POLL_SECONDS)
    return False


def own_window(merchant: Merchant, window: int) -> Any:
    """A window as a merchant's node shows it."""
    return json.loads(vafa("settlement", "show", "--window", str(window), "--json", *_at(merchant)))


def report_of(merchant: Merchant, window: int) -> str:
    """What a merchant's node says to people about what was held back."""
    text = vafa("settlement", "show", "--window", str(window), *_at(merchant))
    return text[text.index("HELD BACK.") :].split("\n\nWindow ")[0].strip()


def is_settled(found: Mismatch, home: Merchant, window: int) -> bool:
    """Whether a window's close, signed by both, holds nothing back any more and counts what was missing."""
    closes = own_window(home, window)["closes"]
    pair = (found.home_id, found.acquirer_id)
    close = next(one for one in closes if (one["home"], one["acquirer"]) == pair)
    return len(close["signed_by"]) == 2 and not close["disputed"] and close["records"] >= 1


def _at(merchant: Merchant) -> tuple[str, ...]:
    config: Path = merchant.node.config_path
    return ("--config", str(config), "--address", merchant.node.addresses.serving)
