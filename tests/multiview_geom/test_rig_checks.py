"""Laws of the checks and the summary of a rig."""

from dataclasses import replace
from math import degrees
from pathlib import Path

import pytest
import torch
from hypothesis import given

from multiview_geom import (
    CameraIssueKind,
    Cameras,
    Lens,
    check_cameras,
    ring_of_cameras,
    save_cameras,
    summarize_cameras,
)
from tests.multiview_geom.lenses.drawn_lenses import KORNIA_3273, WIDE, Glass
from tests.multiview_geom.strategies import Ring, rings

FOUR = Ring()


def with_image(ring: Ring = FOUR, glass: Glass = WIDE, lens: Lens = Lens.OPENCV) -> Cameras:
    """Give the cameras of a ring a lens and an image."""
    rig = ring.cameras()
    return replace(
        rig,
        intrinsics=glass.intrinsics().repeat(rig.views, 1, 1),
        distortion=glass.distortion().repeat(rig.views, 1),
        image_size=torch.tensor([[glass.width, glass.height]]).repeat(rig.views, 1),
        lens=lens,
    )


def moved(rig: Cameras, view: int, scale: float) -> Cameras:
    """Scale the translation of one view."""
    poses = rig.camera_from_world.clone()
    poses[view, :3, 3] *= scale
    return replace(rig, camera_from_world=poses)


def issues_of(rig: Cameras) -> list[tuple[CameraIssueKind, tuple[str, ...]]]:
    return [(issue.kind, issue.cameras) for issue in check_cameras(rig)]


@given(ring=rings)
def test_a_rig_that_may_be_right_is_left_alone(ring: Ring) -> None:
    assert check_cameras(ring.cameras()) == ()
    assert check_cameras(with_image(ring)) == ()


def test_a_principal_point_at_the_corner_is_noticed() -> None:
    rig = FOUR.cameras()
    cornered = rig.intrinsics.clone()
    cornered[1, :2, 2] = 0.0
    (issue,) = check_cameras(replace(rig, intrinsics=cornered))
    assert issue.kind is CameraIssueKind.PRINCIPAL_POINT
    assert issue.message == (
        "cam_2: principal point (0, 0) is at the corner of the image: counted from its middle?"
    )


@given(ring=rings)
def test_positions_are_those_of_the_cameras(ring: Ring) -> None:
    rig = ring.cameras()
    assert [summary.position for summary in summarize_cameras(rig)] == list(
        map(tuple, rig.centers.tolist())
    )


def test_the_field_of_view_of_a_pinhole_is_that_of_its_image() -> None:
    (summary,) = summarize_cameras(ring_of_cameras(1, 4.0, 1.0, focal_length=500.0))
    assert summary.field_of_view is not None
    assert [degrees(angle) for angle in summary.field_of_view] == pytest.approx([90.0, 90.0])


def test_the_field_of_view_of_a_fisheye_may_exceed_180_degrees() -> None:
    glass = Glass(focal_length=500.0)
    (summary, *_) = summarize_cameras(with_image(glass=glass, lens=Lens.FISHEYE))
    assert summary.field_of_view is not None
    assert degrees(summary.field_of_view[0]) == pytest.approx(degrees(1920 / 500))


def test_without_an_image_there_is_no_field_of_view() -> None:
    rig = replace(Ring().cameras(), image_size=None)
    assert [summary.field_of_view for summary in summarize_cameras(rig)] == [None] * 4
    assert [summary.name for summary in summarize_cameras(rig)] == [
        "cam_1",
        "cam_2",
        "cam_3",
        "cam_4",
    ]


def test_a_matrix_that_is_no_rotation_is_found() -> None:
    poses = Ring().cameras().camera_from_world.clone()
    poses[1, :3, :3] *= 1.01
    rig = replace(Ring().cameras(), camera_from_world=poses)
    assert (CameraIssueKind.NOT_A_ROTATION, ("cam_2",)) in issues_of(rig)


def test_a_mirror_is_found() -> None:
    poses = Ring().cameras().camera_from_world.clone()
    poses[2, 0, :3] *= -1
    rig = replace(Ring().cameras(), camera_from_world=poses)
    assert (CameraIssueKind.NOT_A_ROTATION, ("cam_3",)) in issues_of(rig)


def test_a_principal_point_outside_the_image_is_found() -> None:
    rig = with_image()
    rig.intrinsics[3, 0, 2] = 2500.0
    assert (CameraIssueKind.PRINCIPAL_POINT, ("cam_4",)) in issues_of(rig)


def test_without_an_image_no_principal_point_is_outside() -> None:
    rig = with_image()
    rig.intrinsics[3, 0, 2] = 2500.0
    assert issues_of(replace(rig, image_size=None)) == []


def test_a_focal_length_that_is_not_positive_is_found() -> None:
    rig = Ring().cameras()
    rig.intrinsics[0, 1, 1] *= -1
    assert issues_of(rig) == [(CameraIssueKind.FOCAL_LENGTH, ("cam_1",))]
    assert check_cameras(rig)[0].message.endswith("px are not positive: mirrored pictures?")


def test_a_number_below_the_first_focal_length_is_found() -> None:
    rig = Ring().cameras()
    rig.intrinsics[1, 1, 0] = 77.0
    (issue,) = check_cameras(rig)
    assert issue.kind is CameraIssueKind.FOCAL_LENGTH
    assert issue.message == "cam_2: K has 77 below its first diagonal element, expected 0"


def test_focal_lengths_that_do_not_fit_together_are_found() -> None:
    rig = Ring().cameras()
    rig.intrinsics[0, 0, 0] = 1e-300
    rig.intrinsics[1, 0, 1] = 1e9
    kind = CameraIssueKind.FOCAL_LENGTH
    assert [one for one in issues_of(rig) if one[0] is kind] == [
        (kind, ("cam_1",)),
        (kind, ("cam_2",)),
    ]


@pytest.mark.parametrize(
    ("x", "y", "kinds"), [(8.0, 8.0, 1), (1145.0, 114.5, 1), (320.0, 320.0, 0)]
)
def test_focal_lengths_in_another_unit_are_found(x: float, y: float, kinds: int) -> None:
    rig = Ring().cameras()
    rig.intrinsics[0, 0, 0], rig.intrinsics[0, 1, 1] = x, y
    found = [names for kind, names in issues_of(rig) if kind is CameraIssueKind.FOCAL_LENGTH]
    assert found == [("cam_1",)] * kinds


def test_cameras_at_one_place_are_found() -> None:
    rig = Ring().cameras().select([0, 1, 1])
    assert issues_of(replace(rig, names=("a", "b", "c"))) == [
        (CameraIssueKind.SAME_POSITION, ("b", "c"))
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("other", [0, 1])
def test_the_origin_of_the_world_may_be_far_away(dtype: torch.dtype, other: int) -> None:
    far = {torch.float32: 4_500.0, torch.float64: 5_400_000.0}[dtype]
    rig = ring_of_cameras(2, radius=1.0, height=1.5, dtype=torch.float64).select([0, other])
    poses = rig.camera_from_world.clone()
    poses[:, :3, 3] -= poses[:, :3, :3] @ poses.new_tensor([far, far, 0.0])
    placed = replace(rig, camera_from_world=poses, names=("a", "b")).to(dtype)
    found = [] if other else [(CameraIssueKind.SAME_POSITION, ("a", "b"))]
    assert issues_of(placed) == found


def test_millimeters_beside_meters_are_found() -> None:
    assert (CameraIssueKind.UNIT_MISMATCH, ("cam_2",)) in issues_of(
        moved(Ring().cameras(), 1, 1000.0)
    )


def test_meters_beside_millimeters_are_found() -> None:
    rig = Ring().cameras()
    for view in (0, 1, 3):
        rig = moved(rig, view, 1000.0)
    assert (CameraIssueKind.UNIT_MISMATCH, ("cam_3",)) in issues_of(rig)


def test_a_lens_that_folds_inside_the_image_is_found() -> None:
    found = check_cameras(with_image(glass=KORNIA_3273))
    assert [issue.kind for issue in found] == [CameraIssueKind.LENS_FOLDS] * 4
    assert "cam_1: the lens folds back inside the image" in found[0].message


def test_lens_coefficients_in_another_order_are_doubted() -> None:
    coefficients = torch.tensor([[-0.3, 0.14, 0.001, -0.0008, -0.04]] * 4).double()
    sound = replace(with_image(), distortion=coefficients)
    assert CameraIssueKind.TANGENTIAL not in dict(issues_of(sound))
    *_, issue = check_cameras(replace(sound, distortion=coefficients[:, [0, 1, 4, 2, 3]]))
    assert issue.kind is CameraIssueKind.TANGENTIAL
    assert issue.message == (
        "cam_4: p1 = -0.04 and p2 = 0.001 are large: is the order k1, k2, p1, p2, k3?"
    )


def test_what_is_not_a_number_is_found_first() -> None:
    rig = with_image()
    assert rig.distortion is not None
    rig.distortion[1, 2] = torch.nan
    assert issues_of(rig) == [(CameraIssueKind.NOT_FINITE, ("cam_2",))]


@pytest.mark.rejects
def test_a_batch_of_rigs_is_refused() -> None:
    rig = Ring().cameras()
    batch = Cameras(rig.intrinsics[None], rig.camera_from_world[None])
    with pytest.raises(ValueError, match="`cameras` must have no batch axes"):
        check_cameras(batch)


def test_a_transposed_matrix_is_found() -> None:
    rig = ring_of_cameras(2, radius=4.0, height=1.0)
    issues = check_cameras(replace(rig, intrinsics=rig.intrinsics.mT.contiguous()))
    assert "the last row of K is" in issues[0].message


@pytest.mark.parametrize("views", [1, 3])
def test_a_transposed_pose_is_found_and_not_written(views: int, tmp_path: Path) -> None:
    rig = ring_of_cameras(4, radius=4.0, height=1.0).select(range(views))
    wrong = replace(rig, camera_from_world=rig.camera_from_world.mT.contiguous())
    assert issues_of(wrong) == [(CameraIssueKind.NOT_RIGID, (name,)) for name in rig.names]
    assert check_cameras(wrong)[0].message == (
        "cam_1: the last row of camera_from_world is 0, 0, 4.12311, 1, expected 0, 0, 0, 1: is it "
        "transposed?"
    )
    with pytest.raises(ValueError, match="`cameras` cannot be written: cam_1: the last row of cam"):
        save_cameras(tmp_path / "rig.toml", wrong)
    assert not [*tmp_path.iterdir()]


def test_no_camera_has_no_issue() -> None:
    assert check_cameras(ring_of_cameras(2, radius=4.0, height=1.0).select([])) == ()
