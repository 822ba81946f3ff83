"""What a merchant offers: purses, earning rules, rewarded activities, limits. Pure.

`model` is a programme as data, `validate` says what is wrong with one, `compile` makes one ready to judge
purchases, and `explain` says rule by rule why it judged so.
"""
