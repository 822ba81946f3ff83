"""Virtual chip cards: an NTAG 424 DNA, a MIFARE DESFire (public EV2 subset) and a GlobalPlatform card.

They are the card's side of the protocols, written from the data sheets and not from `cards/`, so that the
two sides can find each other's mistakes. Only the primitives (`cards.crypto`) and the APDU format
(`cards.apdu`) are shared.
"""
