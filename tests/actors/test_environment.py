"""What a node sets for Ray before it begins is what Ray then does."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

# A process of its own: Ray reads its environment once, and the session's Ray has another one.
SCRIPT = """
import json, sys
from pathlib import Path
from node.actors.environment import INLINE_BYTES, prepare_ray

directory = Path(sys.argv[1])
prepare_ray(directory / "token", cluster=False)
import ray
from ray.experimental import get_object_locations

ray.init(
    address="local", num_cpus=0, object_store_memory=80 * 1024 * 1024, include_dashboard=False,
    logging_level="ERROR", _temp_dir=str(directory),
)

@ray.remote(num_cpus=0)
class Echo:
    def echo(self, batch):
        return batch

echo = Echo.remote()

def in_the_object_store(size):
    answer = echo.echo.remote(bytes(size))
    ray.wait([answer])
    return bool(get_object_locations([answer])[answer]["node_ids"])

print(json.dumps([in_the_object_store(size) for size in (INLINE_BYTES // 4, INLINE_BYTES + 1_000_000)]))
ray.shutdown()
"""


@pytest.mark.ray
def test_a_batch_travels_inside_rays_call_and_only_a_huge_one_by_its_object_store(
    short_directory: Path,
) -> None:
    token = short_directory / "token"
    token.write_text(secrets.token_hex(32), encoding="utf-8")
    token.chmod(0o600)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(short_directory)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == [False, True]
