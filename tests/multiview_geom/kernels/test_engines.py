"""Laws of the engines: whichever computes, the points and their gradients are the same."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from inspect import unwrap
from pathlib import Path
from threading import Event

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from multiview_geom import (
    Cameras,
    project_points,
    ring_of_cameras,
    triangulate_dlt,
    triangulate_dlt_svd,
    triangulate_iterative,
)
from multiview_geom._kernels import engines
from multiview_geom._kernels.triangulation import cuda_launch
from multiview_geom._kernels.triangulation.algebra_reweighted import agreement
from tests.multiview_geom.kernels.engine_choice import (
    ENGINES,
    computed_by,
    every_engine,
    interpreted,
)
from tests.multiview_geom.strategies import (
    Cloud,
    Fan,
    Ring,
    Sightings,
    Staircase,
    numbers,
    sightings,
)
from tests.multiview_geom.tolerances import POINT_ROUND_OFF, assert_close

MANY, FEW = 20_000, 300  # more than one program of a kernel

KERNELS = "multiview_geom._kernels."
LOOPS = (
    *("triangulation.cpu", "triangulation.cpu_gradient", "triangulation.cpu_reweighted"),
    *("triangulation.cpu_robust", "rotation.cpu", "rotation.cpu_alignment"),
)
TRITON = (
    *("triangulation.cuda", "triangulation.cuda_gradient", "triangulation.cuda_reweighted"),
    *("triangulation.cuda_robust", "rotation.cuda"),
)

# How many times the error of the float32 decomposition that of a float32 point may be.
ALLOWED = 4


@dataclass(frozen=True)
class Hard:
    """Sightings that linear triangulation in single precision finds hard."""

    seed: int = 0
    views: int = 4
    weight_orders: float = 0.0
    wild_share: float = 0.0
    step_deg: float = 60.0
    origin: float = 0.0

    def inputs(self, points: int) -> tuple[Tensor, Tensor, Tensor]:
        draw = torch.Generator().manual_seed(self.seed)
        rig = Fan(views=self.views, step_deg=self.step_deg).cameras()
        world = torch.rand(points, 3, generator=draw).double() - 0.5
        exact = project_points(rig.projections, world)
        noise = torch.randn(exact.shape, generator=draw)
        wild = torch.rand(exact.shape[:2], generator=draw) < self.wild_share
        anywhere = 1000 * torch.rand(exact.shape, generator=draw)
        pixels = torch.where(wild[..., None], anywhere, exact + noise)
        weights = 10 ** (-self.weight_orders * torch.rand(exact.shape[:2], generator=draw))
        return self._moved(rig).projections.float(), pixels.float(), weights.float()

    def _moved(self, rig: Cameras) -> Cameras:
        shift = torch.eye(4, dtype=torch.float64)
        shift[:3, 3] = self.origin
        return Cameras(rig.intrinsics, rig.camera_from_world @ shift)


hard = st.builds(
    Hard,
    seed=st.integers(0, 10_000),
    views=st.integers(2, 16),
    weight_orders=st.sampled_from([0.0, 2.0, 6.0, 12.0]),
    wild_share=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    step_deg=st.sampled_from([0.06, 0.5, 5.0, 40.0]),
    origin=st.sampled_from([0.0, 10.0, 1000.0]),
)


@every_engine
@interpreted
@given(scene=sightings, weighted=st.booleans())
def test_the_loops_agree_with_the_reference(engine: str, scene: Sightings, weighted: bool) -> None:  # noqa: FBT001 - drawn
    leaves = (scene.projections(), scene.pixels(), scene.trust())[: 2 + weighted]
    for one, other in zip(*_by_engine_and_reference(engine, *leaves), strict=True):
        assert_close(one, other, atol=POINT_ROUND_OFF)


@pytest.mark.parametrize("engine", [*ENGINES, "reference"])
@interpreted
@pytest.mark.parametrize(("frames", "views", "points"), [(2, 3, 0), (0, 3, 4), (2, 0, 4)])
def test_nothing_to_triangulate_is_no_fault(
    engine: str, frames: int, views: int, points: int
) -> None:
    rig = ring_of_cameras(views or 1, 4.0, 1.0, dtype=torch.float64).projections[:views]
    rig, pixels = rig.requires_grad_(), torch.ones(frames, views, points, 2).double()
    with computed_by(engine):
        found = triangulate_dlt(rig, pixels)
        (slope,) = torch.autograd.grad(found.sum(), rig)
    assert found.shape == (frames, points, 3)
    assert found.isnan().all()
    assert torch.equal(slope, torch.zeros_like(rig))


def test_the_squared_error_of_the_loops_is_that_of_a_projection() -> None:
    rig, points = Ring(views=2).cameras().projections, Cloud(((0.1, 0.2, 0.3),) * 2).points()
    off = project_points(rig, points) + torch.tensor([3.0, -4.0])
    across, down, depth = rig[1].tolist()
    last = torch.ones(2, dtype=torch.float64)
    row = points[:, 0], points[:, 1], points[:, 2], last
    view = tuple(depth), tuple(across), tuple(down)
    squared, near = agreement(off[1, :, 0], off[1, :, 1], view, row, 100.0)
    assert_close(squared, 25.0 * last, atol=1e-9)
    assert near.all()
    behind = tuple(-each for each in row)
    truncated, near = agreement(off[1, :, 0], off[1, :, 1], view, behind, 100.0)
    assert (truncated == 100.0).all()
    assert not near.any()


@every_engine
@interpreted
@given(scene=sightings, scales=st.lists(numbers(0.5, 2.0), min_size=1, max_size=4))
def test_a_rig_may_change_with_every_frame(
    engine: str, scene: Sightings, scales: list[float]
) -> None:
    larger = torch.tensor([[scale, scale, scale, 1.0] for scale in scales]).double()
    rigs = scene.projections() * larger[:, None, None, :]
    pixels = scene.pixels().expand(len(scales), -1, -1, -1)
    for one, other in zip(*_by_engine_and_reference(engine, rigs, pixels), strict=True):
        assert_close(one, other, atol=POINT_ROUND_OFF)


@pytest.mark.skipif(not find_spec("triton"), reason="needs Triton")
@interpreted
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_rig_prepared_once_or_by_each_program_gives_the_same_points(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Hard(views=9, wild_share=0.1)  # more views than kernels are compiled for
    projections, pixels, weights = (each.to(dtype) for each in scene.inputs(70))
    found = []
    for most in 0, 70:
        monkeypatch.setattr(cuda_launch, "POINTS_WITHOUT_PREPARATION", most)
        with computed_by("triton"):
            found.append(triangulate_dlt(projections, pixels, weights=weights))
    assert torch.equal(*found)


@every_engine
@interpreted
@pytest.mark.parametrize("missing", [torch.nan, torch.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_missing_neither_moves_a_point_nor_has_a_gradient(
    engine: str, missing: float, dtype: torch.dtype
) -> None:
    scene = Sightings(Ring(views=5), Cloud(((0.1, 0.2, 0.3),) * 5), noise=(1.0, -2.0, 0.5))
    rig, pixels = scene.projections().to(dtype), scene.pixels().to(dtype)
    weights = torch.ones(5, 5, dtype=dtype)
    pixels[0, 0], pixels[1, 1, 1], pixels[1:, 3] = missing, missing, missing
    rig[4, 1, 1], weights[2, 2], weights[3, 1], weights[1:, 4] = missing, 0.0, torch.nan, 0.0
    ours, theirs = _by_engine_and_reference(engine, rig, pixels, weights)
    for one, other in zip(ours, theirs, strict=True):
        assert_close(one, other, atol=POINT_ROUND_OFF if dtype == torch.float64 else 1e-5)
    points, of_rig, of_pixels, of_weights = ours
    assert points[3:].isnan().all()
    assert points[:3].isfinite().all()
    assert not of_rig[4].any()
    assert not of_pixels[[0, 1, 4, 2, 3], [0, 1, 0, 2, 1]].any()
    assert not of_pixels[:, 3:].any()
    assert not of_weights[:, 3:].any()


def _check(scene: Hard, points: int, engine: str) -> None:
    rig, pixels, weights = scene.inputs(points)
    exact = triangulate_dlt_svd(rig.double(), pixels.double(), weights=weights.double())
    with computed_by(engine):
        ours = triangulate_dlt(rig, pixels, weights=weights)
    theirs = triangulate_dlt_svd(rig, pixels, weights=weights)
    sizes = 1 + exact.norm(dim=-1)
    mine, allowed = (
        ((found - exact).norm(dim=-1) / sizes).nan_to_num() for found in (ours, theirs)
    )
    assert mine.max() <= ALLOWED * allowed.max()


@every_engine
@interpreted
@given(scene=hard)
def test_hard_scenes_err_no_more_than_singular_values(engine: str, scene: Hard) -> None:
    _check(scene, 300 if engine == "numba" else 100, engine)


@every_engine
@interpreted
@pytest.mark.parametrize("weight", [1e-2, 1e-4, 1e-6])
def test_one_view_may_be_trusted_far_more(engine: str, weight: float) -> None:
    scene = Sightings(rig=Ring(radius=4.5), noise=(1.0, -2.0, 0.5, 1.5))
    rig, pixels = scene.projections().float(), scene.pixels().float()
    weights = torch.tensor([0.9, weight, weight, weight])[:, None]
    pixels.requires_grad_()
    exact = triangulate_dlt_svd(rig.double(), pixels.double(), weights=weights.double())
    (expected,) = torch.autograd.grad(exact.sum(), pixels)
    with computed_by(engine):
        found = triangulate_dlt(rig, pixels, weights=weights)
        (gradient,) = torch.autograd.grad(found.sum(), pixels)
    assert_close(found.double(), exact, atol=1e-6)
    assert_close(gradient, expected, atol=1e-6)


@every_engine
@interpreted
@pytest.mark.parametrize("views", [2, 4, 8])
def test_wild_pixels_have_their_minimum_too(engine: str, views: int) -> None:
    rig, count = Ring(views=8, radius=4.5), MANY if engine == "numba" else FEW
    projections = rig.cameras().projections[:views].float()
    pixels = 1000 * torch.rand(views, count, 2, generator=torch.Generator().manual_seed(0))
    exact = triangulate_dlt_svd(projections.double(), pixels.double())
    near = exact.norm(dim=-1) < 20.0
    with computed_by(engine):
        found = triangulate_dlt(projections, pixels)
    assert ((found - exact).norm(dim=-1)[near] < 1e-4).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_number_of_threads_does_not_matter(dtype: torch.dtype) -> None:
    scene = Staircase().cameras().projections.to(dtype).requires_grad_()
    pixels = 1000 * torch.rand(4, MANY, 2, generator=torch.Generator().manual_seed(0)).to(dtype)
    results, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            points = triangulate_dlt(scene, pixels)
            results.append((points, *torch.autograd.grad(points.cos().sum(), scene)))
    finally:
        torch.set_num_threads(before)
    for result in results[1:]:
        assert all(torch.equal(one, two) for one, two in zip(results[0], result, strict=True))


def test_python_threads_do_not_disturb_each_other() -> None:
    rig = Ring().cameras().projections
    pixels = 1000 * torch.rand(8, 4, MANY, 2, generator=torch.Generator().manual_seed(0)).double()
    expected = [triangulate_dlt(rig, frame) for frame in pixels]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda frame: triangulate_dlt(rig, frame), pixels))
    assert all(torch.equal(one, two) for one, two in zip(expected, found, strict=True))


def test_a_thread_that_has_not_begun_is_not_waited_for() -> None:
    rig, scene = Ring().cameras().projections, torch.rand(4, MANY, 2).double()
    expected, before = triangulate_dlt(rig, scene), torch.get_num_threads()
    go_on, pool = Event(), engines._pool(os.getpid())
    busy = [pool.submit(go_on.wait, 20) for _ in range(os.cpu_count() or 1)]
    torch.set_num_threads(2)
    try:
        assert torch.equal(triangulate_dlt(rig, scene), expected)
        assert not any(each.done() for each in busy)
    finally:
        torch.set_num_threads(before)
        go_on.set()


@every_engine
@interpreted
def test_memory_is_read_where_it_lies(engine: str) -> None:
    rig = Ring().cameras().projections
    pixels = 1000 * torch.rand(2, 9, 4, 30, generator=torch.Generator().manual_seed(0)).double()
    strided = pixels.permute(3, 2, 1, 0)[::3, :, 1:]
    weights = torch.rand(30, 8, 4, generator=torch.Generator().manual_seed(1)).double().mT[::3]
    with computed_by(engine):
        expected = triangulate_dlt(rig, strided.contiguous(), weights=weights.contiguous())
        assert torch.equal(triangulate_dlt(rig, strided, weights=weights), expected)


@every_engine
@pytest.mark.parametrize("triangulate", [triangulate_dlt, triangulate_iterative])
def test_the_gradient_that_comes_back_is_read_where_it_lies(
    engine: str, triangulate: Callable[..., Tensor]
) -> None:
    rig, draw = Ring().cameras().projections, torch.Generator().manual_seed(0)
    frames = 90 if engine == "numba" else 17  # a block has 16, and the interpreter takes its time
    pixels = (1000 * torch.rand(frames, 4, 8, 2, generator=draw).double()).requires_grad_()
    drawn = torch.rand(3, 9, frames, generator=draw).double().permute(2, 1, 0)[:, 1:]
    same = drawn.new_ones(()).expand(frames, 8, 3)
    negated = torch.complex(drawn, -drawn).conj().imag
    layouts = (drawn[:1].expand(frames, -1, -1), same, negated)
    with computed_by(engine):
        points = triangulate(rig, pixels)
        for given in (drawn, *(layouts if engine == "numba" else (layouts[-1],))):
            found, expected = (
                torch.autograd.grad(points, pixels, each, retain_graph=True)[0]
                for each in (given, given.clone(memory_format=torch.contiguous_format))
            )
            assert torch.equal(found, expected)


def test_an_operator_returns_the_strides_that_a_compiler_expects() -> None:
    scene = Sightings(cloud=Cloud(((0.1, 0.2, 0.3), (0.3, 0.2, 0.1))))
    inputs = scene.projections()[None], scene.pixels()[None], None, 3
    with computed_by("reference"):
        points = torch.ops.multiview_geom.triangulate_iterative(*inputs)
        gradients = torch.ops.multiview_geom.triangulate_iterative_backward(
            *inputs, points, points.mT.contiguous().mT, [True, True, False, False]
        )
    assert points.is_contiguous()
    assert all(gradient.is_contiguous() for gradient in gradients)


FORKED = """
import os, torch
from multiview_geom import ring_of_cameras, triangulate_dlt
rig = ring_of_cameras(4, 4.0, 1.0).projections
pixels = 1000 * torch.rand(4, 20_000, 2)
torch.set_num_threads(2)
before = triangulate_dlt(rig, pixels).numpy()
child = os.fork()
if child == 0:  # torch's own threads do not survive here: compare in NumPy
    os._exit(0 if (triangulate_dlt(rig, pixels).numpy() == before).all() else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_it_works_after_a_fork() -> None:
    assert subprocess.run([sys.executable, "-c", FORKED], timeout=300, check=False).returncode == 0


# The loops that are compiled soonest.
WITHOUT_A_LENS = """
import torch
from multiview_geom import ring_of_cameras, undistort_pixels
intrinsics, pixels = ring_of_cameras(1, 4.0, 1.0).intrinsics, 1000 * torch.rand(1, 20_000, 2)
found = undistort_pixels(intrinsics, torch.zeros(1, 5), pixels).pixels
torch.testing.assert_close(found, pixels, rtol=0, atol=1e-3)
"""


@pytest.mark.slow
def test_it_works_where_nothing_can_be_kept_on_disk(tmp_path: Path) -> None:
    no_folder = tmp_path / "file"
    no_folder.write_text("a file where a folder is wanted")
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_A_LENS],
        env={**os.environ, "XDG_CACHE_HOME": str(no_folder)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "loops are compiled in every process" in ended.stderr


def _by_engine_and_reference(engine: str, *inputs: Tensor) -> list[tuple[Tensor, ...]]:
    """Return points and gradients twice."""
    results = []
    for each in (engine, "reference"):
        leaves = [tensor.clone().requires_grad_() for tensor in inputs]
        with computed_by(each):
            points = triangulate_dlt(leaves[0], leaves[1], weights=(*leaves[2:], None)[0])
            gradients = torch.autograd.grad(points.nan_to_num().cos().sum(), leaves)
        results.append((points.detach(), *gradients))
    return results


@pytest.mark.parametrize("module", [*LOOPS, *(TRITON if find_spec("triton") else ())])
def test_functions_that_another_module_compiles_keep_the_meaning_of_their_names(
    module: str,
) -> None:
    names = engines._names_of(KERNELS + module)
    for function in filter(engines._is_own, names.values()):
        own = vars(import_module(function.__module__))
        used_here = own.keys() & set(unwrap(function).__code__.co_names)
        for used in used_here - {"sqrt", "where"}:  # the engine replaces these two
            assert names[used] is own[used], f"{function.__qualname__} uses {used}"


@pytest.mark.skipif(find_spec("numba") is None, reason="nothing is compiled")
@pytest.mark.parametrize("caches", [os.devnull, ""])
def test_compiling_without_a_folder_that_can_be_written_is_said_once(
    caches: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setenv("XDG_CACHE_HOME", caches)
    monkeypatch.setattr(Path, "home", no_home)
    engines._warn_of_compiling.cache_clear()
    for _ in range(2):
        with engines._cache_folder(import_module("numba")) as keep:
            assert not keep
    (said,) = caplog.messages
    assert said.endswith("set XDG_CACHE_HOME to a folder of your own")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other rights")
@pytest.mark.parametrize("spoil", ["open to all", "of another user"])
def test_loops_are_not_kept_where_others_can_put_code(
    spoil: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = engines._loops_folder()
    with engines._cache_folder(import_module("numba")) as keep:
        assert keep
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    if spoil == "open to all":
        folder.chmod(0o777)
    else:
        if os.getuid() == 0:  # root trusts itself
            os.chown(folder, 1, -1)
        monkeypatch.setattr(os, "getuid", lambda: 2**31 - 2)
    with engines._cache_folder(import_module("numba")) as keep:
        assert not keep
    assert not engines.is_first_use()


def test_without_numbas_compiler_the_reference_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert engines.choose_engine(torch.zeros(1)) == "reference"
