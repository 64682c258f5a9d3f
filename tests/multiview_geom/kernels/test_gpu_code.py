"""The kernels of a GPU compile to machine code, also where there is no GPU."""

import ast
import os
import subprocess
import sys
from importlib.util import find_spec
from inspect import getsource
from textwrap import dedent

import pytest

from multiview_geom._kernels.engines import triton_functions

pytestmark = pytest.mark.skipif(
    not find_spec("triton"), reason="needs Triton, which is made for Linux"
)
MODULES = [
    *("triangulation.cuda", "triangulation.cuda_gradient", "triangulation.cuda_reweighted"),
    *("triangulation.cuda_robust", "rotation.cuda", "lens.cuda"),
]

COMPILE_ONLY = """
import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

class NoGpu:
    get_current_target = lambda self: GPUTarget("cuda", 90, 32)
    get_current_device = lambda self: 0
    get_current_stream = lambda self, device: 0

def compile_only(self, *arguments, **options):
    kernel = run(self, *arguments, **{**options, "warmup": True})
    assert kernel.asm["cubin"]
    print(kernel.name)

run, JITFunction.run = JITFunction.run, compile_only
driver.set_active(NoGpu())
"""

TRIANGULATION = """
from multiview_geom import triangulate_dlt
from multiview_geom._kernels import engines

engines.choose_engine = lambda _: "triton"
for dtype, rigs, views in (torch.float32, (), 3), (torch.float64, (2,), 9):  # 9 views in a loop
    projections = torch.zeros(*rigs, views, 3, 4, dtype=dtype, requires_grad=True)
    pixels = torch.zeros(2, views, 5, 2, dtype=dtype, requires_grad=True)
    weights = None if rigs else pixels[..., 0]
    triangulate_dlt(projections, pixels, weights=weights).sum().backward()
"""

REWEIGHTED = """
from multiview_geom import triangulate_iterative, triangulate_robust
from multiview_geom._kernels import engines

engines.choose_engine = lambda _: "triton"
projections = torch.zeros(3, 3, 4, requires_grad=True)
pixels = torch.zeros(2, 3, 5, 2, requires_grad=True)
triangulate_iterative(projections, pixels, weights=pixels[..., 0]).sum().backward()
triangulate_robust(projections.detach(), pixels.detach(), threshold=5.0)
"""

ROTATION = """
import multiview_geom as geometry
from multiview_geom._kernels import engines

engines.choose_engine = lambda _: "triton"
matrices = torch.zeros(5, 3, 3, requires_grad=True)
for found in (
    geometry.nearest_rotation(matrices),
    geometry.align_rigid(matrices, matrices).rotation,
    geometry.align_similarity(matrices, matrices, weights=matrices[..., 0]).rotation,
    geometry.smallest_eigenvector(matrices),
):
    found.sum().backward()
"""

LENS = """
from multiview_geom import undistort_pixels
from multiview_geom._kernels import engines

engines.choose_engine = lambda _: "triton"
for dtype, count in (torch.float32, 5), (torch.float64, 14):
    K, k = torch.eye(3, dtype=dtype).expand(2, 3, 3), torch.zeros(2, count, dtype=dtype)
    pixels = torch.zeros(3, 2, 5, 2, dtype=dtype, requires_grad=True)
    undistort_pixels(K, k, pixels).pixels.sum().backward()
"""

KERNELS = {
    TRIANGULATION: {"prepare_rigs", "triangulate", "differentiate", "differentiate_rigs"},
    REWEIGHTED: {
        *("prepare_metric_rigs", "triangulate_reweighted", "differentiate_reweighted"),
        *("differentiate_metric_rigs", "select_inliers"),
    },
    ROTATION: {
        *("nearest_rotations", "turn_rotations", "align", "differentiate"),
        *("smallest_eigenvectors", "turn_eigenvectors"),
    },
    LENS: {"undistort", "differentiate"},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("calls", "kernels"), KERNELS.items(), ids=["triangulation", "reweighted", "rotation", "lens"]
)
def test_every_kernel_compiles_for_a_gpu(calls: str, kernels: set[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if "TRITON" not in name}
    command = [sys.executable, "-W", "error", "-c", COMPILE_ONLY + calls]
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert set(ended.stdout.split()) == kernels


@pytest.mark.parametrize("module", MODULES)
def test_no_kernel_unpacks_a_tuple_in_a_tuple(module: str) -> None:
    """Triton before 3.8 cannot compile `(a, b), c = ...`; older versions of torch bring it."""
    for name, function in triton_functions(f"multiview_geom._kernels.{module}").items():
        if hasattr(function, "fn"):
            for node in ast.walk(ast.parse(dedent(getsource(function.fn)))):
                if isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Store):
                    assert not any(isinstance(each, ast.Tuple) for each in node.elts), name
