"""Comparing what must not be guessed byte by byte."""

from cryptography.hazmat.primitives import constant_time


def equal_in_constant_time(left: bytes, right: bytes) -> bool:
    """Whether both are the same, in a time that does not depend on where they differ. Lengths are no
    secret.
    """
    return constant_time.bytes_eq(left, right)
