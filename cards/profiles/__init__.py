"""What each kind of card is made to be: ordered steps from a blank card to a member's card, and back to a
dead one.

A profile is data and steps. Each step can tell whether it is done by asking the card, so that a card that was
torn away at any command is finished by running the same steps again; the key that lets a bureau back in is
changed last.
"""
