"""Persons, the identifiers they are found by, and what they consented to: apart from the books.

Pure: no I/O, no clock, no randomness. Nothing here knows a balance, and nothing in the books knows a name.

* ``invalid``: why a value was refused, and that values which hold personal data keep it out of logs.
* ``text``: text as it is stored, compared, masked and printed, in Persian, Arabic and Latin script.
* ``identifiers``: cards, barcodes, phone numbers and app tokens in one normal form.
* ``calendars``: dates in the Gregorian and the Jalali calendar, and birthdays.
* ``consents``: who may be told what, by which channel, since when.
* ``person``: the record of one person, and the only way to change it.
"""
