"""Nodes with one guard taken out, each of which a simulated world must find: proof that its checkers can."""
