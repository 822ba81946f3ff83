"""The file of a coalition's terms as `vafa operator init` writes it; see `wire.coalition_terms`."""

TEMPLATE = """\
# coalition.toml: the terms of the coalition. `vafa operator publish` turns them, with the partners that
# were admitted, into the next signed directory. Nothing here takes effect before that.

[coalition]
# Short name of the coalition, in every message between its members: 1 to 40 of a-z, 0-9 and hyphen, not
# starting with a hyphen. Fixed once published.
id = {id}

[purse]
# The one purse that is earned and spent at other partners. Every partner's programme has a purse of this
# code. Code and exponent are fixed once published.
code = {purse}
# Decimal places of one point, 0 to 6.
exponent = 0
# Its name by language (BCP 47).
names = {{ en = "Coalition points", fa = "امتیاز ائتلاف", ar = "نقاط الائتلاف" }}

# What a point is worth between partners, in micro-units (millionths) of the currency: of one rial, one euro.
# A version never changes once published: to change a worth, add a version that applies from a later time.
[[rates]]
version = 1
# From when, with its offset from UTC.
from = {from_time}
# What a point earned at another partner's till costs that partner.
accrual_micro = 1000000
# What a point spent at another partner's till pays that partner.
redemption_micro = 1000000
# ISO 4217 code.
currency = {currency}

[calendar]
# IANA time zone in which settlement windows begin, at midnight.
time_zone = {time_zone}
# The first day of a window; the others follow from it.
first_day = {first_day}
# How long a window is: day, week, month (Gregorian, on the first day's day of the month) or jalali_month.
every = "month"
# Windows that are published ahead, 2 to 400. Publish in time: after the last one nothing is exchanged.
ahead = 24

[caps]
# The most points that a partner may owe another one, net, where no pair below says otherwise.
default_units = 1000000
# One table for a pair that differs:
# [[caps.pairs]]
# debtor = "a"
# creditor = "b"
# units = 5000000

[bounds]
# A message older than this whose exchange is not known is declined for good; also how far two nodes' clocks
# may differ. 10 to 3600.
freshness_seconds = 300
# How late an earning may be forwarded after a partner was away, 1 to 365.
accrual_lateness_days = 30
# The longest reservation, 60 to 2592000.
hold_seconds_max = 86400
# How far a posting's time may lie outside the window that it names, 0 to 3600.
window_skew_seconds = 300

# Partners follow, one table each; `vafa operator admit` writes them. What may be changed in one:
#   status      "active", "suspended" (its members earn, nothing new is spent) or "left" (nothing new at all)
#   ranges      which identifiers are its members': "card:6273", "barcode:20", "phone:+98912", "app_token:x"
#   relay       the partner that carries its messages where it can only dial; it sees who deals with whom
#   endpoints   host:port where its node is dialled, instead of what it asked for
#   ended_keys  {{ "ed25519:..." = 2026-11-20T00:00:00Z }}: a key that was lost or stolen, and since when
"""
