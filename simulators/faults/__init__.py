"""Faults of the machine: power cuts and flipped bits, put on a store's files on purpose."""
