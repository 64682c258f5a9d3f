"""Laws of a rig of cameras."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.data import default_collate

from multiview_geom import (
    Cameras,
    Lens,
    project_points,
    refine_points,
    ring_of_cameras,
    world_to_camera,
)
from multiview_geom._view_names import Views
from tests.multiview_geom.lenses.drawn_lenses import (
    BARREL,
    Glass,
    fisheyes,
    glasses,
    seen_by_opencv,
    seen_by_opencv_fisheye,
)
from tests.multiview_geom.strategies import Cloud, Ring, clouds, rings
from tests.multiview_geom.tolerances import PIXEL_ROUND_OFF, ROUND_OFF, assert_close
from tests.profiles import at_most

AS_OPENCV_PX = 1e-8

MILD = Glass((-0.1, 0.03, 0.0, 0.0))


def with_lens(ring: Ring, glass: Glass, lens: Lens = Lens.OPENCV) -> Cameras:
    """Put the same lens on every camera of a ring."""
    rig = ring.cameras()
    K = glass.intrinsics().expand(rig.views, 3, 3)
    return replace(
        rig, intrinsics=K, distortion=glass.distortion().expand(rig.views, -1), lens=lens
    )


def meeting_points(rig: Cameras, pixels: Tensor, distances: Tensor) -> Tensor:
    """Walk along the rays of pixels."""
    rays = rig.rays(pixels)
    return rays.origins + distances[..., None] * rays.directions


@given(ring=rings, glass=glasses, cloud=clouds())
def test_rays_pass_through_what_was_seen(ring: Ring, glass: Glass, cloud: Cloud) -> None:
    rig, points = with_lens(ring, glass), 0.2 * cloud.points()
    pixels = rig.project(points).pixels
    distances = (points - rig.centers[:, None]).norm(dim=-1)
    met = meeting_points(rig, pixels, distances)
    assert_close(met, points.expand(met.shape), atol=1e-8)


@given(ring=rings, glass=fisheyes, cloud=clouds(reach=3.0))
def test_fisheye_rays_pass_through_the_points_that_were_seen(
    ring: Ring, glass: Glass, cloud: Cloud
) -> None:
    rig, points = with_lens(ring, glass, Lens.FISHEYE), cloud.points()
    pixels, _, valid = rig.project(points)
    distances = (points - rig.centers[:, None]).norm(dim=-1)
    met = meeting_points(rig, pixels, distances)
    assert_close(met[valid], points.expand(met.shape)[valid], atol=1e-8)


@given(ring=rings, cloud=clouds())
def test_without_a_lens_rays_pass_through_the_points_that_were_seen(
    ring: Ring, cloud: Cloud
) -> None:
    rig, points = ring.cameras(), cloud.points()
    distances = (points - rig.centers[:, None]).norm(dim=-1)
    met = meeting_points(rig, rig.project(points).pixels, distances)
    assert_close(met, points.expand(met.shape), atol=1e-8)


@given(ring=rings, glass=glasses, cloud=clouds())
def test_undistorted_pixels_are_those_of_a_pinhole(ring: Ring, glass: Glass, cloud: Cloud) -> None:
    rig, points = with_lens(ring, glass), 0.2 * cloud.points()
    ideal, valid = rig.undistort(rig.project(points).pixels)
    assert valid.all()
    assert_close(ideal, project_points(rig.projections, points), atol=1e-6)


@given(ring=rings, glass=glasses)
def test_the_order_of_views_is_the_order_of_pixels(ring: Ring, glass: Glass) -> None:
    rig, points = with_lens(ring, glass), Cloud(((0.1, 0.2, 0.3),)).points()
    order = [2, 0, 1]
    selected = rig.select(order).project(points).pixels
    assert_close(selected, rig.project(points).pixels[order], atol=0)


@given(ring=rings, glass=glasses, cloud=clouds())
def test_it_projects_as_opencv_does(ring: Ring, glass: Glass, cloud: Cloud) -> None:
    rig, points = with_lens(ring, glass), 0.3 * cloud.points()
    places = world_to_camera(rig.camera_from_world, points)
    expected = torch.stack([seen_by_opencv(glass, view) for view in places])
    assert_close(rig.project(points).pixels, expected, atol=AS_OPENCV_PX)


@given(ring=rings, glass=fisheyes, cloud=clouds())
def test_a_fisheye_projects_as_opencv_does(ring: Ring, glass: Glass, cloud: Cloud) -> None:
    rig, points = with_lens(ring, glass, Lens.FISHEYE), cloud.points()
    places = world_to_camera(rig.camera_from_world, points)
    expected = torch.stack([seen_by_opencv_fisheye(glass, view) for view in places])
    assert_close(rig.project(points).pixels, expected, atol=AS_OPENCV_PX)


def test_a_batch_of_frames_sees_what_each_frame_sees() -> None:
    rig, frames = with_lens(Ring(), BARREL), torch.linspace(-0.3, 0.3, 30).double().reshape(2, 5, 3)
    each = torch.stack([rig.project(frame).pixels for frame in frames])
    assert_close(rig.project(frames).pixels, each, atol=0)
    again = torch.stack([rig.undistort(pixels).pixels for pixels in each])
    assert_close(rig.undistort(each).pixels, again, atol=1e-10)


@pytest.mark.parametrize("lens", [None, MILD], ids=["pinhole", "mild"])
def test_points_behind_a_camera_are_not_seen(lens: Glass | None) -> None:
    rig = Ring().cameras() if lens is None else with_lens(Ring(), lens)
    behind = 3 * rig.centers[:1]
    assert rig.project(behind).valid[:, 0].tolist() == [False, True, True, True]


def test_points_beyond_the_fold_are_not_seen() -> None:
    rig = with_lens(Ring(height=0.0), BARREL)
    _, _, valid = rig.project(torch.tensor([[0.0, 0.0, 3.0], [0.0, 0.0, 6.0]]).double())
    assert valid[0].tolist() == [True, False]


def test_a_fisheye_sees_beside_itself() -> None:
    rig = with_lens(Ring(height=0.0), Glass(focal_length=300.0), Lens.FISHEYE)
    beside = rig.centers[:1] + torch.tensor([[0.1, 0.0, 1.0]])
    projection = rig.project(beside)
    assert projection.depths[0, 0] < 0
    assert projection.valid[0, 0]


def test_another_dtype_and_device_keep_the_rest() -> None:
    rig = with_lens(Ring(), Glass(focal_length=300.0), Lens.FISHEYE)
    moved = rig.to(torch.float32).to("cpu")
    assert moved.lens is Lens.FISHEYE
    assert moved.names == rig.names
    assert moved.project(torch.zeros(1, 3)).pixels.dtype == torch.float32


def test_cameras_without_names_are_numbered_from_one() -> None:
    rig = Cameras(torch.eye(3).expand(2, 3, 3), torch.eye(4).expand(2, 4, 4))
    assert rig.names == ("cam_1", "cam_2")


@given(ring=rings, factor=st.sampled_from([1e-3, 0.5, 1000.0]))
def test_a_scaled_rig_sees_the_scaled_scene(ring: Ring, factor: float) -> None:
    rig, points = ring.cameras(), Cloud(((0.1, 0.2, 0.3),)).points()
    scaled = rig.scaled(factor)
    assert_close(scaled.centers, factor * rig.centers, atol=ROUND_OFF * factor)
    assert_close(scaled.project(factor * points).pixels, rig.project(points).pixels, atol=1e-9)


SELECTIONS = {
    "names": ["cam_3", "cam_1"],
    "numbers": [2, 0],
    "numbers from the end": [-2, -4],
    "index tensor": torch.tensor([2, 0]),
    "slice": slice(2, None, -2),
    "mask": [True, False, True, False],
    "mask tensor": torch.tensor([True, False, True, False]),
    "name": "cam_3",
    "numbers of NumPy": [*np.array([2, 0])],
    "index array": np.array([2, 0]),
    "mask array": np.array([True, False, True, False]),
    "mask of NumPy's truth values": [*np.array([True, False, True, False])],
    "names array": np.array(["cam_3", "cam_1"]),
    "numbers that are tensors": [*torch.tensor([2, 0])],
}


@pytest.mark.parametrize("views", SELECTIONS.values(), ids=SELECTIONS.keys())
def test_cameras_are_selected_by_anything_that_identifies_views(views: Views) -> None:
    rig = with_lens(Ring(), BARREL)
    selected = rig.select(views)
    numbers = [rig.names.index(name) for name in selected.names]
    assert set(numbers) in ({0, 2}, {2})
    assert torch.equal(selected.camera_from_world, rig.camera_from_world[numbers])
    assert torch.equal(selected.distortion, rig.distortion[numbers])
    assert torch.equal(selected.image_size, rig.image_size[numbers])


@given(ring=rings, scale=st.sampled_from([-3.0, 1e-3, 1.0, 7.0]))
def test_projections_give_their_rig(ring: Ring, scale: float) -> None:
    rig = ring.cameras()
    found = Cameras.from_projections(scale * rig.projections, names=rig.names)
    assert_close(found.intrinsics, rig.intrinsics, atol=1e-9)
    assert_close(found.camera_from_world, rig.camera_from_world, atol=1e-10)


def test_k_r_t_give_their_rig() -> None:
    rig = with_lens(Ring(), BARREL)
    R, t = rig.camera_from_world[:, :3, :3], rig.camera_from_world[:, :3, 3]
    fields = {"distortion": rig.distortion, "image_size": rig.image_size, "names": rig.names}
    assert Cameras.from_krt(rig.intrinsics, R, t, **fields) == rig


@given(ring=rings, glass=glasses, cloud=clouds())
def test_a_rig_triangulates_what_it_projects(ring: Ring, glass: Glass, cloud: Cloud) -> None:
    rig, points = with_lens(ring, glass), 0.2 * cloud.points()
    assert_close(rig.triangulate(rig.project(points).pixels), points, atol=1e-7)


def test_pixels_of_lower_precision_are_triangulated_by_precise_cameras() -> None:
    rig = ring_of_cameras(4, radius=4.0, height=1.0, dtype=torch.float64)
    points = torch.tensor([[0.1, 0.2, 0.3]])
    pixels = rig.project(points.double()).pixels.float()
    found = rig.triangulate(pixels, weights=torch.ones(4, 1))
    assert found.dtype == torch.float32
    assert_close(found, points, atol=1e-5)


@given(ring=rings, glass=glasses, cloud=clouds())
def test_a_resized_picture_shows_corners_at_corners(ring: Ring, glass: Glass, cloud: Cloud) -> None:
    rig, points = with_lens(ring, glass), 0.2 * cloud.points()
    resized = rig.resized((500, 2000))
    assert resized.image_size.tolist() == [[500, 2000]] * rig.views
    scale = torch.tensor([0.5, 2.0]).double()
    expected = scale * (rig.project(points).pixels + 0.5) - 0.5
    assert_close(resized.project(points).pixels, expected, atol=PIXEL_ROUND_OFF)


@given(ring=rings, glass=glasses, cloud=clouds())
def test_a_cropped_picture_starts_where_it_was_cut(ring: Ring, glass: Glass, cloud: Cloud) -> None:
    rig, points = with_lens(ring, glass), 0.2 * cloud.points()
    cropped = rig.cropped(100, 20, (640, 480))
    expected = rig.project(points).pixels - torch.tensor([100, 20])
    assert_close(cropped.project(points).pixels, expected, atol=PIXEL_ROUND_OFF)


def test_rigs_are_equal_by_value() -> None:
    rig = with_lens(Ring(), BARREL)
    assert rig == with_lens(Ring(), BARREL)
    assert rig != rig.scaled(2.0)
    assert rig != rig.to(torch.float32)
    assert rig != replace(rig, distortion=None)
    assert rig != replace(rig, names=tuple("abcd"))
    assert rig != "rig"


def test_a_rig_prints_in_one_line() -> None:
    shown = "Cameras(4 views: cam_1, cam_2, cam_3, cam_4; pinholes; float64 on cpu)"
    assert repr(Ring().cameras()) == shown
    batch = default_collate([with_lens(Ring(views=9), BARREL)] * 2)
    shown = "Cameras(2 x 9 views: cam_1, cam_2, cam_3, cam_4, ...; opencv lens with 4 coeff"
    assert shown in repr(batch)


def test_device_and_dtype_are_changed_at_once() -> None:
    moved = Ring().cameras().to("cpu", torch.float32, non_blocking=True)
    assert moved == Ring().cameras().to(torch.float32)
    assert moved.image_size.dtype == torch.int64


def test_a_rig_is_a_tree_of_its_tensors() -> None:
    rig = with_lens(Ring(), BARREL)
    assert tree_map(lambda tensor: tensor.clone(), rig) == rig
    assert tree_map(lambda tensor: None, rig).names == rig.names


def test_rigs_are_collated_to_a_batch() -> None:
    rig = with_lens(Ring(), BARREL)
    batch = default_collate([(rig, 1), (rig.scaled(2.0), 2)])[0]
    assert batch.names == rig.names
    assert torch.equal(batch.centers[1], 2 * rig.centers)


def test_vmap_over_rigs_is_a_loop() -> None:
    rig, points = with_lens(Ring(), BARREL), Cloud(((0.1, 0.2, 0.3),)).points()
    batch = default_collate([rig, rig.scaled(1.5)])
    seen = torch.func.vmap(lambda one: one.project(points))(batch)
    assert_close(seen.pixels[1], rig.scaled(1.5).project(points).pixels, atol=1e-9)


def test_a_compiled_function_takes_and_returns_a_rig() -> None:
    rig, points = with_lens(Ring(), BARREL), Cloud(((0.1, 0.2, 0.3),)).points()

    def moved(rig: Cameras, points: Tensor) -> tuple[Cameras, Tensor]:
        larger = rig.select(["cam_2", "cam_1"]).scaled(2.0).to(torch.float32)
        return larger, larger.project(points.float()).pixels

    compiled = torch.compile(moved, fullgraph=True, backend="aot_eager")
    for actual, expected in zip(compiled(rig, points), moved(rig, points), strict=True):
        assert isinstance(actual, Cameras) == isinstance(expected, Cameras)
        torch.testing.assert_close(tree_leaves(actual), tree_leaves(expected))


def test_a_saved_rig_is_loaded_without_running_code(tmp_path: Path) -> None:
    rig = with_lens(Ring(), BARREL)
    torch.save(rig, tmp_path / "rig.pt")
    with torch.serialization.safe_globals([Cameras, Lens]):
        assert torch.load(tmp_path / "rig.pt", weights_only=True) == rig


@pytest.mark.rejects
@pytest.mark.parametrize("views", [[4], [-5], ["cam_5"], "left"])
def test_a_view_that_is_not_there_is_refused(views: Views) -> None:
    with pytest.raises(ValueError, match="`views` must be of cam_1, cam_2, cam_3, cam_4, got"):
        Ring().cameras().select(views)


@pytest.mark.rejects
def test_a_mask_has_an_entry_per_view() -> None:
    with pytest.raises(ValueError, match=r"`mask` must have as many views as `cameras` \(4\)"):
        Ring().cameras().select([True, False])


@pytest.mark.rejects
def test_pictures_of_unknown_size_are_not_resized() -> None:
    with pytest.raises(ValueError, match="must be known to resize"):
        replace(Ring().cameras(), image_size=None).resized((500, 500))


@given(ring=rings, glass=glasses)
def test_projection_and_rays_have_gradients_for_the_whole_rig(ring: Ring, glass: Glass) -> None:
    rig = with_lens(ring, glass)
    fields = ("intrinsics", "camera_from_world", "distortion")
    leaves = {name: getattr(rig, name).clone().requires_grad_() for name in fields}
    live = replace(rig, **leaves)
    pixels = live.project(torch.tensor([[0.1, 0.0, 0.2]]).double()).pixels
    (live.rays(pixels.detach() + 1).directions.sum() + pixels.sum()).backward()
    assert all(leaf.grad is not None and leaf.grad.isfinite().all() for leaf in leaves.values())


@pytest.mark.rejects
def test_a_fisheye_rig_has_coefficients() -> None:
    with pytest.raises(ValueError, match="`distortion` must be given for fisheye lenses"):
        replace(Ring().cameras(), lens=Lens.FISHEYE)


@pytest.mark.rejects
def test_a_rig_has_as_many_coefficients_as_its_lens() -> None:
    with pytest.raises(ValueError, match="4, 5, 8, 12 or 14 coefficients, got 7"):
        replace(Ring().cameras(), distortion=torch.zeros(4, 7).double())


@pytest.mark.rejects
def test_every_view_has_a_pixel() -> None:
    with pytest.raises(ValueError, match=r"`pixels` must have shape \(\.\.\., 4, points, 2\)"):
        Ring().cameras().rays(torch.zeros(3, 1, 2).double())


def mixed_rig(ring: Ring, glass: Glass, fisheye: Glass) -> Cameras:
    """Give the views of a ring a fisheye and a polynomial lens by turns."""
    rig = ring.cameras()
    rows = torch.zeros(rig.views, 14, dtype=torch.float64)
    lenses = tuple((Lens.FISHEYE, Lens.OPENCV)[view % 2] for view in range(rig.views))
    for view, lens in enumerate(lenses):
        row = (fisheye if lens is Lens.FISHEYE else glass).distortion()
        rows[view, : row.shape[-1]] = row
    return replace(rig, distortion=rows, lens=lenses)


@given(ring=rings, glass=glasses, fisheye=fisheyes, cloud=clouds())
def test_every_view_of_a_mixed_rig_sees_as_it_does_alone(
    ring: Ring, glass: Glass, fisheye: Glass, cloud: Cloud
) -> None:
    rig, points = mixed_rig(ring, glass, fisheye), cloud.points()
    seen = rig.project(points)
    for view in range(rig.views):
        alone = rig.select([view])
        assert isinstance(alone.lens, Lens)
        assert_close(alone.project(points).pixels[0], seen.pixels[view], atol=0)
        pixels = seen.pixels[view : view + 1]
        for name in ("undistort", "rays"):
            whole, one = getattr(rig, name)(seen.pixels), getattr(alone, name)(pixels)
            for part, same in zip(whole, one, strict=True):
                assert_close(part[view], same[0], atol=0)


@given(ring=rings, glass=glasses, fisheye=fisheyes)
def test_equal_lenses_are_one_lens(ring: Ring, glass: Glass, fisheye: Glass) -> None:
    rig = mixed_rig(ring, glass, fisheye)
    assert rig.select(slice(None, None, 2)).lens is Lens.FISHEYE
    assert rig.select(slice(None, None, 2)).distortion.shape[-1] == 4
    assert rig.select(slice(1, None, 2)).lens is Lens.OPENCV
    assert rig.select(slice(None)) == rig


@pytest.mark.rejects
def test_a_rig_has_as_many_lenses_as_views() -> None:
    rig = Ring().cameras()
    k = torch.zeros(rig.views, 4, dtype=torch.float64)
    with pytest.raises(ValueError, match="views"):
        replace(rig, distortion=k, lens=(Lens.OPENCV, Lens.FISHEYE) * rig.views)
    with pytest.raises(ValueError, match=r"`lens` must have as many views as `intrinsics` \(4\)"):
        replace(rig, lens=(Lens.OPENCV,) * 3)


@at_most(6)
@given(ring=rings, glass=glasses, fisheye=fisheyes)
def test_a_mixed_rig_is_refined_through_the_lens_of_each_view(
    ring: Ring, glass: Glass, fisheye: Glass
) -> None:
    rig, point = mixed_rig(ring, glass, fisheye), torch.tensor([[0.1, -0.05, 0.08]]).double()
    pixels = rig.project(point).pixels
    refined = refine_points(rig, point + 0.001, pixels)
    assert_close(refined.points, point, atol=1e-8)


@pytest.mark.rejects
def test_sizes_and_factors_are_positive_and_a_name_selects_one_view() -> None:
    rig = ring_of_cameras(2, radius=4.0, height=1.0)
    with pytest.raises(ValueError, match="`factor` must be positive, got -1"):
        rig.scaled(-1.0)
    with pytest.raises(ValueError, match="`image_size` must be positive, got 0"):
        rig.resized((0, 5))
    with pytest.raises(ValueError, match="`image_size` must be positive, got -5"):
        rig.cropped(0, 0, (5, -5))
    assert rig.resized(torch.tensor([5, 7])) == rig.resized((5, 7))
    for wrong in ((640,), (360, 640, 3), 0.5, "500x500", torch.tensor(5)):
        for change in (rig.resized, partial(rig.cropped, 0, 0)):
            with pytest.raises(ValueError, match="`image_size` must be a width and a height"):
                change(wrong)
    with pytest.raises(ValueError, match=r"`image_size` must be a whole number, got 0\.5"):
        rig.resized((0.5, 0.5))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`top` must be a number, got 'x'"):
        rig.cropped(0, "x", (5, 5))  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match="`views` must name one view, got 'a', the name of several"
    ):
        replace(rig, names=("a", "a")).select(["a"])


@pytest.mark.rejects
@pytest.mark.parametrize("names", ["ab", [1, 2]])
def test_names_are_texts(names: Any) -> None:
    ring = ring_of_cameras(2, radius=4.0, height=1.0)
    with pytest.raises(ValueError, match="`names` must be a sequence of texts"):
        Cameras(ring.intrinsics, ring.camera_from_world, names=names)


@pytest.mark.rejects
def test_a_lens_is_no_text_and_a_count_no_fraction() -> None:
    ring = ring_of_cameras(2, radius=4.0, height=1.0)
    with pytest.raises(ValueError, match="`lens` must be a Lens, such as"):
        Cameras(ring.intrinsics, ring.camera_from_world, torch.zeros(2, 4), lens="fisheye")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`views` must be a whole number"):
        ring_of_cameras(2.5, radius=4.0, height=1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`radius` must be a number, got '4'"):
        ring_of_cameras(2, radius="4", height=1.0)  # type: ignore[arg-type]


@pytest.mark.rejects
@pytest.mark.parametrize("dtype", [np.float64, float, "f4", torch.int32, torch.bool])
def test_a_rig_is_moved_to_a_floating_dtype(dtype: Any) -> None:
    rig = ring_of_cameras(2, 4.0, 1.0)
    with pytest.raises(ValueError, match="`dtype` must be a floating dtype as"):
        rig.to(dtype=dtype)
    assert rig.to(torch.float64).intrinsics.dtype is torch.float64
