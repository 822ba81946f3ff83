"""A virtual MIFARE DESFire in the public EV2 subset, from the public data sheets MF3D(H)x2 and MF2DL(H)x0.

Two things differ from a card of the shop: its master key is an AES key of zeros from the start, where many
are delivered with a DES key (the change needs the older authentication, which this card has not); and only
standard data files exist, with no delegated applications, no transaction MAC and no virtual card selection.
"""
