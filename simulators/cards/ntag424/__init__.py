"""A virtual NTAG 424 DNA, from its data sheet NT4H2421Gx rev. 3.0.

Left out: LRP secure messaging, originality signature and keys (no maker's secret is public), and time: the
stalling after failed authentications counts answers instead.
"""
