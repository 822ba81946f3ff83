"""Ray's environment, to be set before Ray is imported: it reads most of it at import."""

from __future__ import annotations

import os
from pathlib import Path


def prepare_ray(token_path: Path) -> None:
    """Has every process of this node's Ray demand and show its token, and send nothing anywhere."""
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(token_path)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
