"""A virtual GlobalPlatform card: an issuer security domain with SCP03, and the loyalty applet in its ROM.

From GlobalPlatform Card Specification 2.3.1 and its Amendment D 1.1.2 (SCP03, S8 mode, i = 70: pseudo-random
challenges, R-MAC, R-ENC). Left out: loading of code (the applet is there from the factory), supplementary
security domains, delegated management and tokens, logical channels other than the basic one.
"""
