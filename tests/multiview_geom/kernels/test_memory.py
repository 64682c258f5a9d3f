"""Laws of memory: what is freed is kept for the next call."""

import platform
import subprocess
import sys

import pytest

FAULTS_PER_CALL = 500

PROGRAM = """
from resource import RUSAGE_SELF, getrusage

import torch
from multiview_geom import ring_of_cameras, triangulate_dlt

rig = ring_of_cameras(4, radius=4.0, height=1.0)
pixels = rig.project(torch.rand(139_264, 3)).pixels.requires_grad_()

def call():
    torch.autograd.grad(triangulate_dlt(rig.projections, pixels).sum(), pixels)

for _ in range(5):
    call()
before = getrusage(RUSAGE_SELF).ru_minflt
for _ in range(10):
    call()
print((getrusage(RUSAGE_SELF).ru_minflt - before) / 10)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_many_points_do_not_take_their_memory_page_by_page_again() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert float(ended.stdout) < FAULTS_PER_CALL
