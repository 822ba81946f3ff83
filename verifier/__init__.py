"""Checks a published settlement statement with nothing but the file and the signed directory.

Small enough to read in one sitting, and on purpose not the node's code: it shares only the protos with it, so
that a mistake in one is found by the other. `signatures` says who signed, `arithmetic` does the sums,
`statement` goes through the file, `__main__` is the command. docs/verifier.md follows it check by check.
"""
