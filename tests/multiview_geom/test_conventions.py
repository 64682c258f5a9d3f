"""Laws of other libraries' cameras: what they show is what ours show."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from kornia.geometry.camera import PinholeCamera
from scipy.spatial.transform import Rotation
from torch import Tensor

from multiview_geom import (
    Cameras,
    ColmapCameras,
    Lens,
    from_colmap,
    from_kornia,
    from_opengl,
    from_pytorch3d,
    ring_of_cameras,
    to_colmap,
    to_homogeneous,
    to_kornia,
    to_opengl,
    to_pytorch3d,
)
from tests.multiview_geom.lenses.drawn_lenses import Glass
from tests.multiview_geom.strategies import Cloud, Pose, Ring, clouds, poses, rings
from tests.multiview_geom.tolerances import PIXEL_ROUND_OFF, ROUND_OFF, assert_close

OBLONG = torch.tensor([1280, 720])
HALF_PIXEL = 0.5


def oblong(ring: Ring) -> Cameras:
    """Give the cameras of a ring an oblong image and a principal point off its middle."""
    rig = ring.cameras()
    K = rig.intrinsics.clone()
    K[:, 0, 2], K[:, 1, 2], K[:, 1, 1] = 610.25, 340.5, 0.9 * K[:, 0, 0]
    return replace(rig, intrinsics=K, image_size=OBLONG.expand(rig.views, 2))


def skewed(rig: Cameras) -> Cameras:
    K = rig.intrinsics.clone()
    K[:, 0, 1] = 3.0
    return replace(rig, intrinsics=K)


def assert_same(actual: Cameras, expected: Cameras) -> None:
    assert_close(actual.intrinsics, expected.intrinsics, atol=PIXEL_ROUND_OFF)
    assert_close(actual.camera_from_world, expected.camera_from_world, atol=ROUND_OFF)


@given(ring=rings)
def test_cameras_come_back_from_opengl(ring: Ring) -> None:
    rig = skewed(oblong(ring))
    assert_same(from_opengl(to_opengl(rig, 0.1, 100.0), OBLONG.expand(rig.views, 2)), rig)


@given(ring=rings)
def test_cameras_come_back_from_pytorch3d(ring: Ring) -> None:
    rig = oblong(ring)
    again = from_pytorch3d(to_pytorch3d(rig))
    assert_same(again, rig)
    assert again.image_size is not None
    assert torch.equal(again.image_size, OBLONG.expand(rig.views, 2))


@given(ring=rings)
def test_cameras_come_back_from_kornia(ring: Ring) -> None:
    rig = skewed(oblong(ring))
    assert_same(from_kornia(to_kornia(rig)), rig)


@given(ring=rings, pose=poses)
def test_cameras_come_back_from_colmap(ring: Ring, pose: Pose) -> None:
    rig = oblong(ring)
    rig = replace(rig, camera_from_world=rig.camera_from_world @ pose.transform())
    assert_same(from_colmap(to_colmap(rig)), rig)


@pytest.mark.parametrize(
    ("count", "model"),
    [(0, "PINHOLE"), (4, "OPENCV"), (5, "FULL_OPENCV"), (8, "FULL_OPENCV"), (12, "FULL_OPENCV")],
)
def test_colmap_has_a_model_for_every_lens_it_can_hold(count: int, model: str) -> None:
    k = torch.linspace(0.1, 0.2, count, dtype=torch.float64).expand(4, count).clone()
    k[:, 8:] = 0
    colmap = to_colmap(replace(oblong(Ring()), distortion=k if count else None))
    again = from_colmap(colmap).distortion
    assert colmap.model == model
    assert again is None or torch.equal(again[:, :count], k[:, : again.shape[-1]])


def test_colmaps_fisheye_is_a_fisheye() -> None:
    k = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).double().expand(4, 4)
    again = from_colmap(to_colmap(replace(oblong(Ring()), distortion=k, lens=Lens.FISHEYE)))
    assert again.lens is Lens.FISHEYE
    assert_close(again.distortion, k, atol=0)


@given(ring=rings, cloud=clouds())
def test_opengl_shows_a_point_where_we_do(ring: Ring, cloud: Cloud) -> None:
    rig, points = skewed(oblong(ring)), cloud.points()
    view, projection = to_opengl(rig, 0.1, 100.0)
    clip = to_homogeneous(points) @ (projection @ view).mT
    x, y = (clip[..., :2] / clip[..., 3:]).unbind(dim=-1)
    width, height = OBLONG.tolist()
    corner = torch.stack([(x + 1) / 2 * width, (1 - y) / 2 * height], dim=-1)
    assert_close(corner - HALF_PIXEL, rig.project(points).pixels, atol=PIXEL_ROUND_OFF)


def test_opengl_maps_near_and_far_to_the_ends_of_clip_space() -> None:
    _, projection = to_opengl(oblong(Ring()), 0.5, 20.0)
    ends = torch.tensor([[0.0, 0.0, -0.5, 1.0], [0.0, 0.0, -20.0, 1.0]]).double()
    clip = ends @ projection[0].mT
    assert_close(clip[:, 2] / clip[:, 3], torch.tensor([-1.0, 1.0]).double(), atol=ROUND_OFF)


@given(ring=rings, cloud=clouds())
def test_pytorch3d_shows_a_point_where_we_do(ring: Ring, cloud: Cloud) -> None:
    rig, points = oblong(ring), cloud.points()
    R, T, focal, principal, size = to_pytorch3d(rig)
    place = points @ R + T[:, None]
    ndc = focal[:, None] * place[..., :2] / place[..., 2:] + principal[:, None]
    height, width = size.double().unbind(dim=-1)
    half = torch.stack([width, height], dim=-1)[:, None] / 2
    corner = half - ndc * half.amin(dim=-1, keepdim=True)
    assert_close(corner - HALF_PIXEL, rig.project(points).pixels, atol=PIXEL_ROUND_OFF)


@given(ring=rings, cloud=clouds())
def test_kornia_shows_a_point_where_we_do(ring: Ring, cloud: Cloud) -> None:
    rig, points = oblong(ring), cloud.points()
    camera = PinholeCamera(*to_kornia(rig))
    seen = camera.project(points.expand(rig.views, -1, -1))
    # kornia divides by z + 1e-8.
    assert_close(seen, rig.project(points).pixels, atol=1e-3)


@given(pose=poses)
def test_colmaps_quaternions_are_scipys(pose: Pose) -> None:
    rig = oblong(Ring(views=3))
    rig = replace(rig, camera_from_world=pose.transform().expand(3, 4, 4))
    quaternion = Rotation.from_matrix(pose.rotation().numpy()).as_quat(scalar_first=True)
    ours = to_colmap(rig).quaternions[0]
    assert_close((ours @ torch.from_numpy(quaternion)).abs(), torch.ones(()).double(), atol=1e-12)


@pytest.mark.parametrize("axis", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.6, 0.8]])
def test_half_turns_have_quaternions_too(axis: list[float]) -> None:
    unit = torch.tensor(axis, dtype=torch.float64)
    turn = 2 * unit[:, None] * unit - torch.eye(3)
    poses = torch.eye(4).double().repeat(1, 1, 1)
    poses[0, :3, :3] = turn
    rig = Cameras(torch.eye(3).double()[None], poses)
    assert_close(from_colmap(to_colmap(rig)).camera_from_world, poses, atol=ROUND_OFF)


def test_conversions_keep_batches_and_gradients() -> None:
    rig = oblong(Ring())
    poses = rig.camera_from_world.expand(2, 4, 4, 4).clone().requires_grad_()
    K, size = rig.intrinsics.expand(2, 4, 3, 3), OBLONG.expand(2, 4, 2)
    batch = Cameras(K, poses, image_size=size)
    view, _ = to_opengl(batch, 0.1, 100.0)
    sum(t.sum() for t in (view, to_pytorch3d(batch).T, to_colmap(batch).quaternions)).backward()
    assert poses.grad is not None
    assert poses.grad.isfinite().all()


@pytest.mark.rejects
@pytest.mark.parametrize("convert", [to_pytorch3d, to_kornia, lambda rig: to_opengl(rig, 1.0, 2.0)])
def test_only_colmap_knows_lenses(convert: object) -> None:
    glass = Glass((0.1, 0.0, 0.0, 0.0))
    rig = replace(oblong(Ring()), distortion=glass.distortion().expand(4, 4))
    with pytest.raises(ValueError, match=r"must be pinholes for .*: undistort first"):
        convert(rig)  # type: ignore[operator] # one of three functions


@pytest.mark.rejects
def test_one_model_of_colmap_has_one_kind_of_lens() -> None:
    k = torch.zeros(4, 4, dtype=torch.float64)
    mixed = replace(oblong(Ring()), distortion=k, lens=(*[Lens.OPENCV] * 3, Lens.FISHEYE))
    with pytest.raises(ValueError, match="`cameras` must have one lens model for one model of C"):
        to_colmap(mixed)


@pytest.mark.rejects
def test_an_image_without_size_has_no_corners() -> None:
    with pytest.raises(ValueError, match="`cameras` must have an image size, got None"):
        to_pytorch3d(replace(Ring().cameras(), image_size=None))


@pytest.mark.rejects
@pytest.mark.parametrize("convert", [to_pytorch3d, to_colmap])
def test_skew_has_no_place_in_their_cameras(convert: object) -> None:
    with pytest.raises(ValueError, match="`cameras` must have no skew for"):
        convert(skewed(oblong(Ring())))  # type: ignore[operator] # one of two functions


@pytest.mark.rejects
def test_a_model_that_colmap_has_and_we_have_not_is_reported() -> None:
    zero: Tensor = torch.zeros(1, 4)
    with pytest.raises(ValueError, match=r"`model` must be one of SIMPLE_PINHOLE, .*, got 'FOV'"):
        from_colmap(ColmapCameras("FOV", zero, zero, torch.zeros(1, 3)))


@pytest.mark.rejects
def test_cameras_of_another_program_are_named() -> None:
    with pytest.raises(ValueError, match="`colmap` must be ColmapCameras, got dict"):
        from_colmap({"model": "PINHOLE"})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`arguments` must be KorniaCameras, got Tensor"):
        from_kornia(torch.eye(4))  # type: ignore[arg-type]


@pytest.mark.rejects
def test_transposed_matrices_are_named() -> None:
    rig = Ring().cameras()
    matrices, size = to_opengl(rig, 0.1, 100.0), OBLONG.expand(rig.views, 2)
    for name in ("view", "projection"):
        turned = matrices._replace(**{name: getattr(matrices, name).mT.contiguous()})
        with pytest.raises(ValueError, match=rf"the last row of `{name}` must be .* transposed"):
            from_opengl(turned, size)
    orthographic = matrices._replace(projection=torch.eye(4).double().expand_as(matrices.view))
    with pytest.raises(ValueError, match=r"`projection` must be 0, 0, -1, 0, got 0, 0, 0, 1$"):
        from_opengl(orthographic, size)
    arguments = to_kornia(oblong(Ring()))
    for name in ("intrinsics", "extrinsics"):
        turned = arguments._replace(**{name: getattr(arguments, name).mT.contiguous()})
        if name == "intrinsics":  # kornia pads K to four rows, and K^T is not padded K
            turned.intrinsics[..., 3, 3] = 1
        with pytest.raises(ValueError, match=rf"the last row of `{name}` must be .* transposed"):
            from_kornia(turned)


def test_an_unknown_camera_comes_back_from_opengl_unknown() -> None:
    rig = Ring().cameras()
    rig.camera_from_world[0] = torch.nan
    back = from_opengl(to_opengl(rig, 0.1, 100.0), OBLONG.expand(rig.views, 2))
    assert back.camera_from_world.isnan().any(dim=-1).any(dim=-1).tolist() == [
        True, *[False] * (rig.views - 1)
    ]  # fmt: skip


@pytest.mark.rejects
def test_arguments_of_other_kinds_and_units_are_named() -> None:
    rig = oblong(Ring())
    ndc, kornia, size = to_pytorch3d(rig), to_kornia(rig), OBLONG.expand(rig.views, 2)
    scale = ndc.image_size.amin(dim=-1, keepdim=True) / 2
    screen = ndc._replace(focal_length=ndc.focal_length * scale)
    with pytest.raises(ValueError, match=r"`focal_length` must be in NDC, .* with in_ndc=False"):
        from_pytorch3d(screen)
    with pytest.raises(ValueError, match=r"`focal_length` must have shape \(..., views, 2\), got"):
        from_pytorch3d(ndc._replace(focal_length=ndc.focal_length[..., 0]))
    with pytest.raises(ValueError, match=r"`principal_point` must have shape \(..., views, 2\)"):
        from_pytorch3d(ndc._replace(principal_point=ndc.principal_point[..., :1]))
    with pytest.raises(ValueError, match="`height` must be a tensor, got int"):
        from_kornia(kornia._replace(height=1080))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`width` must be finite, got"):
        from_kornia(kornia._replace(width=kornia.width * torch.nan))
    matrices = to_opengl(rig, np.float32(0.5), np.float32(8.0))
    assert torch.equal(matrices.projection, to_opengl(rig, 0.5, 8.0).projection)
    upside_down = matrices.projection * torch.tensor([1.0, -1.0, 1.0, 1.0]).double()[:, None]
    with pytest.raises(ValueError, match=r"the focal lengths of `projection` must be .* in Vulkan"):
        from_opengl(matrices._replace(projection=upside_down), size)


@pytest.mark.rejects
def test_a_ring_has_finite_heights_and_a_picture() -> None:
    with pytest.raises(ValueError, match="`height` must be finite, got nan"):
        ring_of_cameras(3, 4.0, float("nan"))
    with pytest.raises(ValueError, match="`image_size` must be positive, got -3"):
        ring_of_cameras(3, 4.0, 1.0, image_size=(-3, 5))
    with pytest.raises(ValueError, match="`views` must be a whole number, got True"):
        ring_of_cameras(True, 4.0, 1.0)  # noqa: FBT003


@pytest.mark.rejects
def test_names_may_be_an_array() -> None:
    ring = ring_of_cameras(2, 4.0, 1.0)
    named = replace(ring, names=np.array(["left", "right"]))  # type: ignore[arg-type]
    assert named == replace(ring, names=("left", "right"))


@pytest.mark.rejects
def test_no_device_and_an_infinite_scale_are_refused() -> None:
    ring = ring_of_cameras(2, 4.0, 1.0)
    for wrong in ("float64", np.float32):
        with pytest.raises(ValueError, match="`device` must be a device, as cuda:0, or a dtype"):
            ring.to(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`factor` must be finite, got inf"):
        ring.scaled(float("inf"))
