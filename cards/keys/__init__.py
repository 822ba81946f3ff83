"""Which key is whose: coalition master key → issuer key per merchant and version → card key, by AN10922.

Pure. Keys come as `CardKey`, from a key store; here they are derived, named, checked and recognised as
defaults.
"""

from cards.crypto import CardKey
from cards.keys.check_values import cmac_check_value, gp_check_value
from cards.keys.defaults import factory_key, is_default, well_known_keys
from cards.keys.hierarchy import (
    MAX_ALIAS_CHARACTERS,
    MAX_KEY_VERSION,
    MIN_KEY_VERSION,
    RETIRED_VERSION_BIT,
    CardIdentity,
    CardProfile,
    Domain,
    IssuerKey,
    Purpose,
    card_input,
    card_key,
    issuer_input,
    issuer_key,
    issuer_wide_key,
)
from cards.keys.ring import KeyRing

__all__ = [
    "MAX_ALIAS_CHARACTERS",
    "MAX_KEY_VERSION",
    "MIN_KEY_VERSION",
    "RETIRED_VERSION_BIT",
    "CardIdentity",
    "CardKey",
    "CardProfile",
    "Domain",
    "IssuerKey",
    "KeyRing",
    "Purpose",
    "card_input",
    "card_key",
    "cmac_check_value",
    "factory_key",
    "gp_check_value",
    "is_default",
    "issuer_input",
    "issuer_key",
    "issuer_wide_key",
    "well_known_keys",
]
