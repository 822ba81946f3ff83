"""What merchants owe each other after a window, computed so that each of them can redo it. Pure.

`windows` is a window's life, `closes` what one pair did in it, `netting` and `fees` the arithmetic,
`statement` the result and `merkle` the tree over it. `disputes` finds where two sides' records part,
`equivocation` an operator that signs two results, `prepaid`, `partners` and `defaults` what becomes of those
who pay ahead, fall silent, leave or do not pay, and `payments` how a payment stands.
"""
