"""What conditions may read: `purchase`, `activity`, `member`, `occurred`, and how each field is found.

This table is the whole list: a field that is not here is refused when a programme is checked. A condition is
handed only the fields that it names, each as a variable of its own, because turning a nested map into CEL
values costs ten times what judging the condition does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from node.ledger.account import Account
from node.ledger.days import local_date, local_minute_of_day
from node.ledger.purchase import Activity, Purchase
from node.programme.selectors import group_prefixes


@dataclass(slots=True)
class Scene:
    """What is judged: a purchase or an activity, by whom (None: nobody known), when and where."""

    subject: Purchase | Activity
    account: Account | None
    occurred_ms: int
    tz: str


def _every(values: Iterable[str]) -> list[str]:
    return sorted(set(values))


def _entitlements(account: Account | None, at_ms: int) -> list[str]:
    if account is None:
        return []
    return [
        entitlement.code
        for entitlement in account.entitlements
        if entitlement.from_ms <= at_ms and (entitlement.until_ms == 0 or at_ms < entitlement.until_ms)
    ]


def _age_days(scene: Scene) -> int:
    if scene.account is None:
        return 0
    opened = local_date(scene.account.opened_ms, scene.tz)
    return max(0, (local_date(scene.occurred_ms, scene.tz) - opened).days)


_Reader = Callable[[Any], object]

_OF_PURCHASE: dict[str, _Reader] = {
    "total": lambda purchase: purchase.total_minor,
    "currency": lambda purchase: purchase.currency,
    "store": lambda purchase: purchase.store_id,
    "channel": lambda purchase: purchase.channel,
    "receipt": lambda purchase: purchase.receipt_number,
    "codes": lambda purchase: list(purchase.codes),
    "tenders": lambda purchase: _every(tender.kind for tender in purchase.tenders),
    "lines": lambda purchase: len(purchase.lines),
    "groups": lambda purchase: _every(
        group for line in purchase.lines for group in group_prefixes(line.group_path)
    ),
    "tags": lambda purchase: _every(tag for line in purchase.lines for tag in line.tags),
    "skus": lambda purchase: _every(line.sku for line in purchase.lines),
    "brands": lambda purchase: _every(line.brand for line in purchase.lines),
}
_OF_ACTIVITY: dict[str, _Reader] = {
    "code": lambda activity: activity.code,
    "source": lambda activity: activity.source,
    "attributes": lambda activity: dict(activity.attributes),
}
_OF_SCENE: dict[str, dict[str, _Reader]] = {
    "member": {
        "known": lambda scene: scene.account is not None,
        "kind": lambda scene: "" if scene.account is None else scene.account.kind.name.lower(),
        "entitlements": lambda scene: _entitlements(scene.account, scene.occurred_ms),
        "age_days": _age_days,
    },
    "occurred": {
        "day": lambda scene: local_date(scene.occurred_ms, scene.tz).isoformat(),
        "month": lambda scene: local_date(scene.occurred_ms, scene.tz).month,
        "weekday": lambda scene: local_date(scene.occurred_ms, scene.tz).isoweekday(),
        "hour": lambda scene: local_minute_of_day(scene.occurred_ms, scene.tz) // 60,
        "minute": lambda scene: local_minute_of_day(scene.occurred_ms, scene.tz),
    },
}

MAP_FIELDS = frozenset({("activity", "attributes")})
"""Fields that are maps, whose parts a condition may name as it likes."""

RULE_FIELDS: dict[str, frozenset[str]] = {
    "purchase": frozenset(_OF_PURCHASE),
    **{root: frozenset(readers) for root, readers in _OF_SCENE.items()},
}
"""The variables and fields of an earning rule's condition."""

ACTIVITY_FIELDS: dict[str, frozenset[str]] = {
    "activity": frozenset(_OF_ACTIVITY),
    **{root: frozenset(readers) for root, readers in _OF_SCENE.items()},
}
"""The variables and fields of an activity's condition."""

FieldName = tuple[str, str]
"""A variable and its field, such as ("purchase", "total")."""


def flat_name(field: FieldName) -> str:
    """The one variable by which a compiled condition knows a field: `purchase_total`."""
    return "_".join(field)


_READERS: dict[FieldName, tuple[str, _Reader, bool]] = {
    (root, name): (flat_name((root, name)), reader, of_subject)
    for root, readers, of_subject in (
        ("purchase", _OF_PURCHASE, True),
        ("activity", _OF_ACTIVITY, True),
        *((root, readers, False) for root, readers in _OF_SCENE.items()),
    )
    for name, reader in readers.items()
}
"""Each field's flat name and reader, and whether that reads what is judged, or the scene around it."""


def read(scene: Scene, fields: Iterable[FieldName]) -> dict[str, object]:
    """The values of `fields`, by their flat names."""
    values: dict[str, object] = {}
    for field in fields:
        name, reader, of_subject = _READERS[field]
        values[name] = reader(scene.subject if of_subject else scene)
    return values
