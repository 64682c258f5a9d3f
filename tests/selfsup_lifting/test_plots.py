"""Laws of the drawings: what an artist shows is the data."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot
from matplotlib.figure import Figure
from torch.testing import assert_close

from multiview_geom import camera_to_world, ring_of_cameras
from selfsup_lifting.plots import (
    draw_gaps,
    draw_gradient_shares,
    draw_held_out_error,
    draw_joint_errors,
    draw_keypoints,
    draw_losses,
    draw_pck_curve,
    draw_residuals,
    draw_residuals_over_time,
    draw_rig,
    draw_rig_from_above,
    draw_rig_from_the_side,
    draw_skeleton,
)
from selfsup_lifting.plots.poses import fit_box
from selfsup_lifting.plots.rig import frustums, image_sizes
from selfsup_lifting.skeleton.skeletons import SKELETONS
from selfsup_lifting.upright import UPRIGHT, z_up
from tests.selfsup_lifting.strategies import Scene, scenes


def ends_of_bones(lines: list, data: str) -> set[tuple[float, ...]]:
    """Return start and end of every complete bone that was drawn, in one tuple."""
    drawn = [np.array(getattr(line, data)()) for line in lines]
    drawn = [one if len(one) < 4 else one.T for one in drawn]
    bones = np.concatenate([one.T.reshape(-1, 3, len(one))[:, :2].reshape(-1, 2 * len(one)) for one in drawn])  # noqa: E501  # fmt: skip
    return {tuple(bone) for bone in bones[np.isfinite(bones).all(axis=1)].tolist()}


@given(scenes)
def test_a_skeleton_is_drawn_bone_by_bone_in_space_and_in_the_image(scene: Scene) -> None:
    recording = scene.recording()
    bones = torch.tensor(recording.skeleton.bones)
    axes = draw_skeleton(
        Figure().add_subplot(projection="3d"), recording.truth[0], recording.skeleton
    )
    expected = recording.truth[0][bones].flatten(1)
    assert ends_of_bones(axes.lines, "get_data_3d") == {tuple(bone) for bone in expected.tolist()}
    flat = draw_keypoints(Figure().add_subplot(), recording.keypoints[0, 0], recording.skeleton)
    expected = recording.keypoints[0, 0][bones].flatten(1)
    expected = expected[expected.isfinite().all(dim=1)]
    assert ends_of_bones(flat.lines, "get_data") == {tuple(bone) for bone in expected.tolist()}
    assert flat.yaxis_inverted()


def test_without_a_pelvis_the_spine_starts_between_the_hips() -> None:
    skeleton = SKELETONS["pose2sim21"]
    hips = [skeleton.joints.index(f"{side}_hip") for side in ("left", "right")]
    points = torch.randn(len(skeleton.joints), 3, dtype=torch.float64)
    axes = draw_skeleton(Figure().add_subplot(projection="3d"), points, skeleton)
    spine = torch.cat([points[hips].mean(dim=0), points[skeleton.joints.index("upper_neck")]])
    drawn = torch.tensor(sorted(ends_of_bones(axes.lines, "get_data_3d")), dtype=torch.float64)
    assert len(drawn) == len(skeleton.bones)
    assert (drawn - spine).abs().sum(dim=1).min() < 1e-12


def test_left_and_right_have_their_colors() -> None:
    recording = Scene().recording()
    joints, sides = recording.skeleton.joints, {}
    axes = draw_keypoints(Figure().add_subplot(), recording.keypoints[0, 0], recording.skeleton)
    for line in axes.lines:
        for u, v in zip(*line.get_data(), strict=True):
            distance = (recording.keypoints[0, 0] - torch.tensor([u, v])).norm(dim=-1)
            if np.isfinite(u):
                sides.setdefault(line.get_color(), set()).add(joints[int(distance.argmin())])
    blue, orange = sides["#0072B2"], sides["#D55E00"]
    assert {"left_knee", "left_wrist"} <= blue
    assert {"right_knee", "right_wrist"} <= orange
    assert not any("right" in name for name in blue)


@pytest.mark.parametrize("up", UPRIGHT)
def test_what_points_up_is_drawn_up_and_not_mirrored(up: str) -> None:
    axis = torch.zeros(3).index_fill(
        0, torch.tensor("xyz".index(up[-1])), -1.0 if up[0] == "-" else 1.0
    )
    assert z_up(axis, up).tolist() == [0, 0, 1]
    assert torch.linalg.det(z_up(torch.eye(3), up)) == 1
    axes = draw_rig(Figure().add_subplot(projection="3d"), Scene().cameras(), up=up)
    turned = z_up(Scene().cameras().centers, up)
    centers = [np.array(line.get_data_3d())[:, 5] for line in axes.lines]
    np.testing.assert_allclose(centers, turned, atol=1e-9)


@given(scenes, st.floats(0.1, 2.0))
def test_the_corners_of_a_frustum_project_to_those_of_the_image(scene: Scene, depth: float) -> None:
    rig = scene.cameras()
    corners = frustums(rig, depth)
    pixels = rig.project(corners[:, 1:].double()).pixels
    assert_close(corners[:, 0], rig.centers)
    for view in range(rig.views):
        assert_close(pixels[view, view, 0], pixels.new_tensor([-0.5, -0.5]))
        assert_close(pixels[view, view, 2], rig.image_size[view].double() - 0.5)
    forward = camera_to_world(
        rig.camera_from_world, torch.tensor([0.0, 0, depth]).double().expand(rig.views, 1, 3)
    )
    assert_close(corners[:, 1:].mean(dim=1), forward[:, 0], atol=1e-2, rtol=0)


@given(scenes)
def test_a_rig_is_drawn_from_above_and_from_the_side_where_its_cameras_are(scene: Scene) -> None:
    rig, truth = scene.cameras(), scene.truth().flatten(0, 1)
    for draw, plane in ((draw_rig_from_above, [0, 1]), (draw_rig_from_the_side, [0, 2])):
        axes = draw(Figure().add_subplot(), rig, points=truth)
        subject, *cameras = axes.lines
        np.testing.assert_array_equal(subject.get_xydata(), truth[:, plane].numpy())
        drawn = [line.get_xydata()[5] for line in cameras]
        np.testing.assert_allclose(drawn, rig.centers[:, plane], atol=1e-9)
        assert [text.get_text() for text in axes.texts] == list(rig.names)


residuals = st.integers(0, 99).map(
    lambda seed: torch.rand(7, 3, 4, generator=torch.Generator().manual_seed(seed)).masked_fill(
        torch.rand(7, 3, 4, generator=torch.Generator().manual_seed(seed + 100)) < 0.4, torch.nan
    )
)


@given(residuals)
def test_residuals_are_drawn_by_camera_and_joint_and_over_time(errors: torch.Tensor) -> None:
    views, joints = ["a", "b", "c"], ["hip", "knee", "ankle", "toe"]
    axes = draw_residuals(Figure().add_subplot(), errors, views, joints)
    shown = np.ma.filled(axes.images[0].get_array(), np.nan)
    np.testing.assert_array_equal(shown, errors.nanmedian(dim=0).values.T.numpy())
    assert [label.get_text() for label in axes.get_yticklabels()] == joints
    axes = draw_residuals_over_time(Figure().add_subplot(), errors, views, fps=50.0)
    assert [line.get_label() for line in axes.lines] == views
    for view, line in enumerate(axes.lines):
        np.testing.assert_allclose(line.get_xdata(), np.arange(7) / 50)
        np.testing.assert_array_equal(line.get_ydata(), errors[:, view].nanmedian(dim=1).values)


@given(residuals)
def test_a_pck_curve_counts_known_errors_below_each_threshold(shares: torch.Tensor) -> None:
    errors = 200 * shares
    axes = draw_pck_curve(Figure().add_subplot(), {"ours": errors}, largest_mm=150.0)
    known = errors[errors.isfinite()].numpy()
    for threshold, share in axes.lines[0].get_xydata():
        assert share == pytest.approx((known < np.float32(threshold)).mean(), abs=1e-6)


@given(residuals)
def test_the_bar_of_a_joint_is_its_mean_error(errors: torch.Tensor) -> None:
    axes = draw_joint_errors(Figure().add_subplot(), errors, ["hip", "knee", "ankle", "toe"])
    means = errors.flatten(0, 1).nanmean(dim=0).nan_to_num(0.0)
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(means.tolist(), rel=1e-5)


def test_losses_and_shares_are_those_of_the_rows() -> None:
    first = {"epoch": 1, "losses": {"L_in": 2.0}, "gradient_shares": {"L_in": 1.0}}
    last = {
        "epoch": 2,
        "losses": {"L_in": 1.0, "L_out": 0.5},
        "gradient_shares": {"L_in": 0.7, "L_out": 0.3},
    }
    rows = [json.loads(json.dumps(row)) for row in (first, last)]
    for draw, table in ((draw_losses, "losses"), (draw_gradient_shares, "gradient_shares")):
        axes = draw(Figure().add_subplot(), rows)
        drawn = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
        values = {
            name: [[row["epoch"], row[table][name]] for row in rows if name in row[table]]
            for name in last[table]
        }
        assert drawn == values


def test_a_picture_has_the_size_of_its_image() -> None:
    recording = Scene().recording()
    axes = draw_keypoints(
        Figure().add_subplot(), recording.keypoints[0, 0], recording.skeleton, image_size=(640, 480)
    )
    assert (axes.get_xlim(), axes.get_ylim()) == ((-0.5, 639.5), (479.5, -0.5))


def test_a_box_around_nothing_stays_as_it_is() -> None:
    axes = Figure().add_subplot(projection="3d")
    before = axes.get_xlim()
    fit_box(axes, torch.zeros(0, 3))
    assert axes.get_xlim() == before
    fit_box(axes, torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]]))
    low, high = axes.get_xlim()
    assert low < 0.0
    assert high > 2.0


def test_the_size_of_an_image_is_twice_the_principal_point_where_it_is_unknown() -> None:
    rig = replace(ring_of_cameras(2, radius=4.0, height=1.5), image_size=None)
    expected = 2 * rig.intrinsics[:, :2, 2].double() + 1
    assert torch.equal(image_sizes(rig), expected)
    known = replace(rig, image_size=torch.tensor([[640, 480]] * 2))
    assert image_sizes(known).tolist() == [[640.0, 480.0]] * 2


@pytest.mark.rejects
def test_another_number_of_joints_is_refused() -> None:
    human36m = SKELETONS["h36m17"]
    with pytest.raises(ValueError, match="expected the 17 joints of h36m17, got 5"):
        draw_keypoints(Figure().add_subplot(), torch.zeros(5, 2), human36m)
    with pytest.raises(ValueError, match="expected the 17 joints of h36m17, got 5"):
        draw_skeleton(Figure().add_subplot(projection="3d"), torch.zeros(5, 3), human36m)
    with pytest.raises(ValueError, match="expected errors of 2 joints, got 3"):
        draw_joint_errors(Figure().add_subplot(), torch.zeros(4, 3), ["hip", "knee"])


@pytest.mark.rejects
def test_a_skeleton_in_space_needs_a_tensor_and_axes_in_space() -> None:
    body, points = SKELETONS["coco17"], torch.rand(17, 3)
    with pytest.raises(ValueError, match="`axes` must have three dimensions, got Axes"):
        draw_skeleton(Figure().add_subplot(), points, body)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`points` must be Tensor, got ndarray"):
        draw_skeleton(Figure().add_subplot(projection="3d"), points.numpy(), body)
    rig = ring_of_cameras(2, radius=4.0, height=1.0)
    with pytest.raises(ValueError, match="`points` must be Tensor, got ndarray"):
        draw_rig_from_above(Figure().add_subplot(), rig, points=points.numpy())
    with pytest.raises(ValueError, match="`cameras` must be Cameras, got Tensor"):
        draw_rig_from_above(Figure().add_subplot(), rig.projections, points=points)  # type: ignore[arg-type]


ERRORS, VIEWS, JOINTS = torch.rand(9, 2, 3), ("left", "right"), ("hip", "knee", "ankle")


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("errors", "views", "joints", "found"),
    [
        (ERRORS.transpose(1, 2), VIEWS, JOINTS, "2 views x 3 joints, got 9 x 3 x 2"),
        (ERRORS, JOINTS, VIEWS, "3 views x 2 joints, got 9 x 2 x 3"),
        (ERRORS, VIEWS[:1], JOINTS, "1 views x 3 joints, got 9 x 2 x 3"),
        (ERRORS[0], VIEWS, JOINTS, "2 views x 3 joints, got 2 x 3"),
        (ERRORS, "ab", JOINTS, "`views` must be a sequence of names, got 'ab'"),
        (ERRORS.numpy(), VIEWS, JOINTS, "`residuals` must be Tensor, got ndarray"),
    ],
)
def test_residuals_have_as_many_views_and_joints_as_names(
    errors: object, views: object, joints: object, found: str
) -> None:
    with pytest.raises(ValueError, match=found):
        draw_residuals(Figure().add_subplot(), errors, views, joints)  # type: ignore[arg-type]


@pytest.mark.rejects
def test_names_of_curves_and_gaps_are_as_many_as_views() -> None:
    axes = Figure().add_subplot()
    found = "must be frames x 1 views x joints, got 9 x 2 x 3"
    with pytest.raises(ValueError, match=f"`residuals` {found}"):
        draw_residuals_over_time(axes, ERRORS, VIEWS[:1], 30.0)
    with pytest.raises(ValueError, match=f"`seen` {found}"):
        draw_gaps(axes, ERRORS > 0, VIEWS[:1], 30.0)
    with pytest.raises(ValueError, match=r"`seen` must be of torch\.bool, got torch\.float32"):
        draw_gaps(axes, ERRORS, VIEWS, 30.0)


@pytest.mark.rejects
@pytest.mark.parametrize("fps", [0, -30, np.nan, "30"])
def test_a_time_axis_needs_a_frame_rate(fps: object) -> None:
    with pytest.raises(ValueError, match=f"`fps` must be .*, got ({fps}|str)"):
        draw_residuals_over_time(Figure().add_subplot(), ERRORS, VIEWS, fps)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"`fps` must be .*, got ({fps}|str)"):
        draw_gaps(Figure().add_subplot(), ERRORS > 0, VIEWS, fps)  # type: ignore[arg-type]


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("draw", "given", "found"),
    [
        (draw_pck_curve, ERRORS, "`errors_mm` must be Mapping, got Tensor"),
        (draw_pck_curve, {}, "`errors_mm` must have the errors of one method or more, got none"),
        (draw_pck_curve, {"a": [1.0]}, r"`errors_mm\['a'\]` must be Tensor, got list"),
        (draw_losses, "metrics.jsonl", "`rows` must be list . tuple, got str"),
        (draw_held_out_error, ["{}"], r"`rows\[0\]` must be Mapping, got str"),
        (draw_gradient_shares, [{"epoch": 1}], r"`rows\[0\]` must have 'gradient_shares'"),
    ],
)
def test_errors_and_rows_of_another_kind_are_refused(draw: Any, given: object, found: str) -> None:
    with pytest.raises(ValueError, match=found):
        draw(Figure().add_subplot(), given)


@pytest.mark.rejects
def test_the_largest_threshold_is_positive() -> None:
    with pytest.raises(
        ValueError, match="`largest_mm` must be a number, positive and finite, got 0"
    ):
        draw_pck_curve(Figure().add_subplot(), {"ours": ERRORS}, largest_mm=0)


@pytest.mark.rejects
def test_a_pose_is_of_one_frame_and_an_image_has_two_sizes() -> None:
    body = SKELETONS["coco17"]
    with pytest.raises(ValueError, match="`keypoints` must be joints x 2, got 9 x 17 x 2"):
        draw_keypoints(Figure().add_subplot(), torch.rand(9, 17, 2), body)
    with pytest.raises(ValueError, match="`image_size` must be width and height, got 1000"):
        draw_keypoints(Figure().add_subplot(), torch.rand(17, 2), body, image_size=1000)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`errors_mm` must be Tensor, got list"):
        draw_joint_errors(Figure().add_subplot(), [1.0, 2.0], ["hip", "knee"])  # type: ignore[arg-type]


ROW = {
    "epoch": 1, "losses": {"L_in": 1.0}, "gradient_shares": {"L_in": 1.0},
    "held_out_reprojection": 1.0,
}  # fmt: skip
PICTURES: dict[Callable[..., Any], tuple[Any, ...]] = {
    draw_pck_curve: ({"ours": ERRORS},),
    draw_joint_errors: (ERRORS, JOINTS),
    draw_gaps: (ERRORS > 0, VIEWS, 30.0),
    draw_keypoints: (torch.rand(17, 2), SKELETONS["coco17"]),
    draw_residuals: (ERRORS, VIEWS, JOINTS),
    draw_residuals_over_time: (ERRORS, VIEWS, 30.0),
    draw_rig_from_above: (ring_of_cameras(2, 4.0, 1.0),),
    draw_rig_from_the_side: (ring_of_cameras(2, 4.0, 1.0),),
    draw_losses: ([ROW],),
    draw_gradient_shares: ([ROW],),
    draw_held_out_error: ([ROW],),
}


@pytest.mark.rejects
@pytest.mark.parametrize("draw", PICTURES)
def test_a_picture_needs_axes_of_a_plane(draw: Callable[..., Any]) -> None:
    axes = Figure().add_subplot()
    assert draw(axes, *PICTURES[draw]) is axes
    several = Figure().subplots(1, 2)
    for other in (Figure(), several, pyplot, None, Figure().add_subplot(projection="3d")):
        with pytest.raises(ValueError, match="`axes` must be axes with two dimensions, got "):
            draw(other, *PICTURES[draw])
