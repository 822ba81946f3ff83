"""An explicit-state model check of one exchange between two nodes: every reachable state, not a sample of
them.
"""
