"""What the machine offers."""

import os

import pytest

from skitai.config.machine import usable_cores

CORES = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        (None, CORES),
        ("max 100000", CORES),
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("100001 100000", min(2, CORES)),
        ("99999999 100000", CORES),
        ("nonsense", CORES),
    ],
)
def test_usable_cores(tmp_path, quota, cores):
    """A container's share counts, rounded up; what cannot be read does not."""
    if quota is not None:
        (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert usable_cores(tmp_path / "cpu.max") == cores
