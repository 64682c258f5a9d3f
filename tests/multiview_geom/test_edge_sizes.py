"""Zero frames, points, views and sets; and arguments of the wrong size, dtype or sign."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

import multiview_geom as mg

RIG = mg.ring_of_cameras(4, 4.5, 1.0)
POLYNOMIAL = mg.Cameras(RIG.intrinsics, RIG.camera_from_world, torch.full((4, 5), 0.01))
FISHEYE = mg.Cameras(
    RIG.intrinsics, RIG.camera_from_world, torch.full((4, 4), 0.01), lens=mg.Lens.FISHEYE
)
NO_VIEWS = RIG.select([])

TRIANGULATIONS: dict[str, Callable[[mg.Cameras, Tensor], Tensor]] = {
    "dlt": lambda rig, x: mg.triangulate_dlt(rig.projections, x),
    "iterative": lambda rig, x: mg.triangulate_iterative(rig.projections, x),
    "midpoint": lambda rig, x: mg.triangulate_midpoint(rig.projections, x),
    "robust": lambda rig, x: mg.triangulate_robust(rig.projections, x, threshold=5.0).points,
    "refined": lambda rig, x: (
        mg.refine_points(rig, torch.zeros(*x.shape[:-3], x.shape[-2], 3), x).points
    ),
    "covariance": lambda rig, x: mg.point_covariance(
        rig.projections, torch.zeros(*x.shape[:-3], x.shape[-2], 3), sigma=1.0
    )[..., 0],
}
every_triangulation = pytest.mark.parametrize(
    "solve", TRIANGULATIONS.values(), ids=TRIANGULATIONS.keys()
)
every_rig = pytest.mark.parametrize(
    "rig", [RIG, POLYNOMIAL, FISHEYE], ids=["pinholes", "polynomial", "fisheye"]
)


def per_frame(rig: mg.Cameras, frames: int) -> mg.Cameras:
    return mg.Cameras(
        rig.intrinsics.expand(frames, 4, 3, 3), rig.camera_from_world.expand(frames, 4, 4, 4)
    )


@every_triangulation
@pytest.mark.parametrize("rig", [RIG, per_frame(RIG, 0)], ids=["one rig", "a rig per frame"])
def test_zero_frames(solve: Callable[..., Tensor], rig: mg.Cameras) -> None:
    assert solve(rig, torch.zeros(0, 4, 7, 2)).shape == (0, 7, 3)


@every_triangulation
def test_zero_points(solve: Callable[..., Tensor]) -> None:
    assert solve(RIG, torch.zeros(4, 0, 2)).shape == (0, 3)


@every_triangulation
def test_zero_points_of_a_rig_per_frame_have_a_gradient_of_zero(
    solve: Callable[..., Tensor],
) -> None:
    K = RIG.intrinsics.repeat(2, 1, 1, 1).requires_grad_()
    found = solve(mg.Cameras(K, RIG.camera_from_world.repeat(2, 1, 1, 1)), torch.zeros(2, 4, 0, 2))
    assert found.shape == (2, 0, 3)
    assert torch.equal(*torch.autograd.grad(found.sum(), K), torch.zeros_like(K))


@every_triangulation
def test_zero_views(solve: Callable[..., Tensor]) -> None:
    found = solve(NO_VIEWS, torch.zeros(0, 7, 2))
    assert found.shape == (7, 3)
    assert found.isnan().all()


@every_rig
@pytest.mark.parametrize("shape", [(0,), (0, 5)], ids=["points", "frames"])
def test_empty_projections(rig: mg.Cameras, shape: tuple[int, ...]) -> None:
    frames, points = shape[:-1], shape[-1]
    assert rig.project(torch.zeros(*shape, 3)).pixels.shape == (*frames, 4, points, 2)
    pixels = torch.zeros(*frames, 4, points, 2)
    assert rig.undistort(pixels).pixels.shape == pixels.shape
    assert rig.rays(pixels).directions.shape == (*frames, 4, points, 3)


def test_a_threshold_may_be_a_tensor_of_one_number() -> None:
    pixels = RIG.project(torch.zeros(2, 3)).pixels
    found = mg.triangulate_robust(RIG.projections, pixels, threshold=torch.tensor(3.0))  # type: ignore[arg-type]
    assert found.inliers.all()


def test_no_two_views_have_no_angle() -> None:
    assert not mg.triangulation_angle(RIG.centers[:0], torch.zeros(5, 3)).any()


@every_rig
def test_all_results_have_the_batch_of_the_lenses(rig: mg.Cameras) -> None:
    batched = mg.Cameras(
        rig.intrinsics.expand(7, 4, 3, 3), rig.camera_from_world, rig.distortion, lens=rig.lens
    )
    projected = batched.project(torch.zeros(5, 3))
    assert {tuple(found.shape[:3]) for found in projected} == {(7, 4, 5)}


def test_up_may_have_more_axes_than_the_position() -> None:
    ups = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    eye, target = torch.tensor([0.0, -4.0, 0.0]), torch.zeros(3)
    expected = torch.stack([mg.look_at(eye, target, up) for up in ups])
    assert torch.equal(mg.look_at(eye, target, ups), expected)


@every_rig
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_rounded_once(rig: mg.Cameras, dtype: torch.dtype) -> None:
    half, points = rig.to(dtype), (torch.arange(300.0).reshape(100, 3).cos() / 2).to(dtype)
    pixels = half.project(points).pixels
    assert torch.equal(pixels, half.to(torch.float32).project(points.float()).pixels.to(dtype))
    rays = half.rays(pixels).directions
    expected = half.to(torch.float32).rays(pixels.float()).directions.to(dtype)
    torch.testing.assert_close(rays, expected, rtol=0.0, atol=0.0, equal_nan=True)


def test_constants_are_on_the_device_of_the_arguments() -> None:
    pixels, points = RIG.project(torch.zeros(3, 3)).pixels, torch.zeros(3, 3)
    expected = list(_found_on_the_cpu(pixels, points))
    with torch.device("meta"):
        found = list(_found_on_the_cpu(pixels, points))
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def _found_on_the_cpu(pixels: Tensor, points: Tensor) -> Iterator[Tensor]:
    P = RIG.projections
    yield mg.triangulate_dlt(P, pixels)
    yield mg.triangulate_iterative(P, pixels)
    yield mg.triangulate_midpoint(P, pixels)
    yield mg.triangulate_two_view(P[:2], pixels[:2])
    yield mg.triangulate_robust(P, pixels, threshold=5.0).points
    yield mg.point_covariance(P, points, sigma=1.0)
    yield mg.refine_points(RIG, points, pixels).points
    yield from mg.decompose_projections(P)
    yield mg.align_similarity(points + P[0, :, :3], points).rotation
    yield mg.generalized_procrustes(torch.stack([points + P[0, :, :3], points])).points
    yield mg.rotation_from_vector(points)
    yield mg.rotation_to_vector(RIG.camera_from_world[:, :3, :3])
    for rig in (RIG, POLYNOMIAL, FISHEYE):
        yield rig.project(points).pixels
        yield rig.undistort(pixels).pixels
        yield rig.rays(pixels).directions


ONES = torch.ones(4, 2)
PIXELS = torch.zeros(4, 2, 2)
REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "ring of no cameras": (
        lambda: mg.ring_of_cameras(0, 1.0, 1.0),
        "`views` must be 1 or more, got 0",
    ),
    "no sets": (
        lambda: mg.generalized_procrustes(torch.zeros(0, 5, 3)),
        "`number of sets` must be 1 or more, got 0",
    ),
    "negative repetitions": (
        lambda: mg.generalized_procrustes(torch.zeros(2, 5, 3), steps=-3),
        "`steps` must be 0 or more, got -3",
    ),
    "negative solves": (
        lambda: mg.triangulate_iterative(RIG.projections, PIXELS, steps=-1),
        "`steps` must be 0 or more, got -1",
    ),
    "negative steps": (
        lambda: mg.refine_points(RIG, torch.zeros(2, 3), PIXELS, steps=-1),
        "`steps` must be 0 or more, got -1",
    ),
    "no pairs": (
        lambda: mg.triangulate_robust(RIG.projections, PIXELS, threshold=1.0, max_pairs=0),
        "`max_pairs` must be 1 or more, got 0",
    ),
    "negative noise": (
        lambda: mg.point_covariance(RIG.projections, torch.zeros(2, 3), sigma=-1.0),
        "`sigma` must be 0 or more, got -1.0",
    ),
    "sizes that are not whole": (
        lambda: mg.Cameras(RIG.intrinsics, RIG.camera_from_world, image_size=torch.ones(4, 2)),
        "`image_size` must have an integer dtype, got torch.float32",
    ),
    "weights of another dtype": (
        lambda: mg.point_covariance(
            RIG.projections, torch.zeros(2, 3), sigma=1.0, weights=ONES.long()
        ),
        "`weights` must have the dtype of `points`",
    ),
}


@pytest.mark.rejects
@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_arguments_out_of_range(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def three(*shape: int) -> Tensor:
    return torch.ones(3, *shape)


def two(*shape: int) -> Tensor:
    return torch.ones(2, *shape)


K3, P3, POSE2 = torch.eye(3).expand(3, 1, 3, 3), three(4, 3, 4), torch.eye(4).expand(2, 1, 4, 4)
UNRELATED: dict[str, Callable[[], object]] = {
    "dlt": lambda: mg.triangulate_dlt(P3, two(4, 5, 2)),
    "iterative": lambda: mg.triangulate_iterative(P3, two(4, 5, 2)),
    "midpoint": lambda: mg.triangulate_midpoint(P3, two(4, 5, 2)),
    "robust": lambda: mg.triangulate_robust(P3, two(4, 5, 2), threshold=1.0),
    "two_view": lambda: mg.triangulate_two_view(P3[:, :2], two(2, 5, 2)),
    "weights": lambda: mg.triangulate_midpoint(P3, three(4, 5, 2), weights=two(4, 5)),
    "refined": lambda: mg.refine_points(RIG, three(5, 3), two(4, 5, 2)),
    "refined, cameras": lambda: mg.refine_points(per_frame(RIG, 3), two(5, 3), torch.ones(4, 5, 2)),
    "covariance": lambda: mg.point_covariance(P3, two(5, 3), sigma=1.0),
    "project_points": lambda: mg.project_points(P3, two(5, 3)),
    "point_depths": lambda: mg.point_depths(P3, two(5, 3)),
    "reprojection_error": lambda: mg.reprojection_error(P3, three(5, 3), two(4, 5, 2)),
    "triangulation_angle": lambda: mg.triangulation_angle(three(4, 3), two(5, 3)),
    "rigid_transform": lambda: mg.rigid_transform(three(3, 3), two(3)),
    "transform_points": lambda: mg.transform_points(three(4, 4), two(5, 3)),
    "world_to_camera": lambda: mg.world_to_camera(three(1, 4, 4), two(5, 3)),
    "camera_to_world": lambda: mg.camera_to_world(three(4, 4), two(5, 3)),
    "relative_transform": lambda: mg.relative_transform(three(4, 4), two(4, 4)),
    "camera_to_camera": lambda: mg.camera_to_camera(three(4, 4), two(4, 4), two(5, 3)),
    "similarity": lambda: mg.Similarity(three(3, 3), three(3), three()).apply(two(5, 3)),
    "look_at": lambda: mg.look_at(three(3), two(3), two(3)),
    "align_rigid": lambda: mg.align_rigid(three(5, 3), two(5, 3)),
    "generalized": lambda: mg.generalized_procrustes(three(2, 5, 3), weights=two(2, 5)),
    "cameras": lambda: mg.Cameras(K3, POSE2),
    "project": lambda: per_frame(RIG, 3).project(two(5, 3)),
    "rays": lambda: per_frame(RIG, 3).rays(two(4, 5, 2)),
    "distort": lambda: mg.distort_pixels(K3, torch.zeros(1, 5), two(1, 5, 2)),
    "undistort": lambda: mg.undistort_pixels(K3, torch.zeros(1, 5), two(1, 5, 2)),
    "fisheye": lambda: mg.undistort_fisheye_pixels(K3, torch.zeros(1, 4), two(1, 5, 2)),
}


@pytest.mark.rejects
@pytest.mark.parametrize("call", UNRELATED.values(), ids=UNRELATED.keys())
def test_batches_that_do_not_broadcast(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="leading axes must broadcast, got"):
        call()
