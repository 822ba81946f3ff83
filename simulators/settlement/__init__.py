"""Coalitions that trade under faults, close windows after windows and settle them; some of them cheat.

`weeks` is the world, `operator` and `merchant` are who settles in it, `acts` and `bent` what is dishonest in
it, `checks` what must be true of every statement, `command` the command.
"""
