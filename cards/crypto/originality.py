"""NXP's originality signature: that a chip is NXP's own, which says nothing of whose card it is (AN12196,
8.2).
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

_FIELD_BYTES = 28


def is_original(public_key: bytes, uid: bytes, signature: bytes) -> bool:
    """Whether `signature` (r then s, 28 bytes each) is over `uid` by `public_key` (04, x, y) on secp224r1.

    NXP signs the UID itself, not a hash of it. Anything malformed is not original.
    """
    if len(signature) != 2 * _FIELD_BYTES or not 1 <= len(uid) <= _FIELD_BYTES:
        return False
    r, s = (int.from_bytes(half, "big") for half in (signature[:_FIELD_BYTES], signature[_FIELD_BYTES:]))
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP224R1(), public_key)
        key.verify(
            encode_dss_signature(r, s),
            uid.rjust(_FIELD_BYTES, b"\0"),
            # "Prehashed" takes any bytes of the hash's length: the UID as a number of 224 bits.
            ec.ECDSA(Prehashed(hashes.SHA224())),
        )
    except (InvalidSignature, ValueError):
        return False
    return True
