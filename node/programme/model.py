"""A programme as data: what one version of it says, and nothing of how it is judged.

The structs are stored in the control store (msgpack arrays), so fields are only ever appended, each with a
default. Units and money are integers in minor units, instants epoch milliseconds, dates YYYY-MM-DD.
The public form is `vafa.programme.v1.Programme`; its comments are the contract.
"""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct

from node.ledger.purses import PurseDefinition


class Rounding(IntEnum):
    """How a fraction of a unit is rounded; the numbers are those of the protos."""

    DOWN = 1
    UP = 2
    HALF_UP = 3
    HALF_EVEN = 4


class AfterDays(Struct, frozen=True, array_like=True, tag="days"):
    """Units expire at the end of the day that is so many days after the day of the sale."""

    days: int


class MonthsEnd(Struct, frozen=True, array_like=True, tag="months_end"):
    """Units expire at the end of the month that is so many months after the month of the sale."""

    months: int


class OnDate(Struct, frozen=True, array_like=True, tag="on_date"):
    """Units expire at the end of one given day; after it the purse earns nothing any more."""

    date: str


Expiry = AfterDays | MonthsEnd | OnDate


class PurseTerms(Struct, frozen=True, array_like=True):
    """When what a purse earns can be spent and when it expires. `expiry` None: never.

    A purse without terms earns units that can be spent at once and never expire.
    """

    purse: str
    expiry: Expiry | None = None
    pending_days: int = 0


class Rate(Struct, frozen=True, array_like=True, tag="rate"):
    """So many minor units of the purse for every so many minor units of the currency, rounded once."""

    units: int
    money_minor: int
    rounding: Rounding = Rounding.DOWN


class Fixed(Struct, frozen=True, array_like=True, tag="fixed"):
    """A number of minor units for the whole purchase."""

    units: int


class Multiplier(Struct, frozen=True, array_like=True, tag="multiplier"):
    """What the base rules gave, times this many thousandths: 2000 doubles."""

    milli: int


class Exclusion(Struct, frozen=True, array_like=True, tag="exclusion"):
    """The lines that the rule matches earn nothing by any rule."""


Grant = Rate | Fixed | Multiplier | Exclusion

ReceiptText = tuple[tuple[str, str], ...]
"""Words for the receipt as (language tag, text); the first is used where no language fits."""


class LineSelector(Struct, frozen=True, array_like=True):
    """Which lines a rule is about: of each list that is given, one entry must match."""

    groups: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    skus: tuple[str, ...] = ()
    brands: tuple[str, ...] = ()


class TimeWindow(Struct, frozen=True, array_like=True):
    """When a rule counts, in local time. `end_minute` is the minute after the last; 0 stands for 1440.

    An end before the start runs over midnight, and the hours after midnight belong to the day before.
    """

    start_date: str = ""
    end_date: str = ""
    weekdays: tuple[int, ...] = ()
    start_minute: int = 0
    end_minute: int = 0


class EarningRule(Struct, frozen=True, array_like=True):
    """One way in which purchases earn. `purse` is empty for an exclusion; a cap of 0 is no cap."""

    code: str
    grant: Grant
    purse: str = ""
    lines: LineSelector | None = None
    window: TimeWindow | None = None
    condition: str = ""
    daily_cap_units: int = 0
    funder: str = ""
    campaign: str = ""
    receipt_text: ReceiptText = ()


class ActivityRule(Struct, frozen=True, array_like=True):
    """An activity that is known, and what it brings. `purse` is empty where it is only recorded."""

    code: str
    purse: str = ""
    units: int = 0
    daily_limit: int = 0
    condition: str = ""
    receipt_text: ReceiptText = ()


class Limits(Struct, frozen=True, array_like=True):
    """Limits for staff and for moves between accounts, in minor units.

    Above `single_approver_units` an adjustment needs a second person. `daily_transfer_units` 0: no cap.
    """

    single_approver_units: int = 0
    daily_transfer_units: int = 0


class ProofKind(IntEnum):
    """How a member proves that it agrees to a spend; the numbers are the protos'."""

    CONFIRMATION_CODE = 1
    APP_ANSWER = 2
    CARD_CRYPTOGRAM = 3
    PIN = 4
    """At this merchant's own tills alone."""


class ProofLimit(Struct, frozen=True, array_like=True):
    """What one kind of proof may spend abroad: in one transaction, and of one member in a local day.

    Of a PIN it is at this merchant's own tills; `tries` wrong ones in a row lock it (0: as many as
    `people.pins` says), and a member who has one spends `required_from_units` or more only with it or a chip
    card (0: never).
    """

    proof: ProofKind
    transaction_units: int
    daily_units: int
    tries: int = 0
    required_from_units: int = 0


class Programme(Struct, frozen=True, array_like=True):
    """One immutable version. `version` is 0 in a draft, and `effective_ms` 0 means at once."""

    version: int = 0
    name: str = ""
    effective_ms: int = 0
    purses: tuple[PurseDefinition, ...] = ()
    terms: tuple[PurseTerms, ...] = ()
    rules: tuple[EarningRule, ...] = ()
    activities: tuple[ActivityRule, ...] = ()
    limits: Limits = Limits()
    author: str = ""
    proofs: tuple[ProofLimit, ...] = ()
