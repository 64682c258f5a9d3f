"""Why the cameras of a recording disagree, found by trying.

Every cause is undone in turn: pictures that were resized, mirrored or exchanged between cameras, a
camera that was moved or is late, lens distortion that was removed already. The cause that leaves
the lowest reprojection error is the likeliest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations, pairwise, permutations, product

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import (
    Cameras,
    Lens,
    invert_transform,
    rigid_transform,
    rotation_from_quaternion,
    rotation_to_quaternion,
    triangulate_dlt,
)
from selfsup_lifting.moved_camera import moved_camera
from selfsup_lifting.recording import Recording
from selfsup_lifting.sampled_errors import (
    frame_step,
    ideal_pixels,
    is_mostly_behind,
    median_error,
    sampled,
)
from selfsup_lifting.timing import in_step
from selfsup_lifting.triangulate import reprojection_errors

# Below this error the cameras agree, whatever the subject's size in the image [px].
ROUND_OFF_PX = 2.0
# Of causes that leave about the same error, the first in the order of the trials is named.
AS_LIKELY, AS_LIKELY_PX = 1.3, 0.3
# Leaving out a camera explains less than undoing something: it must leave a much lower error.
MORE_TELLING = 2.0
# A frame is wrong if its error is so many times that without the wrong camera.
WRONG = 3.0
# Without a wrong camera, the error is also much lower than without any other one.
CLEARLY_LOWER = 0.5
# Resized pictures, tried in this order: pixels of the detections per pixel of the calibration.
SCALES = {"half": 0.5, "twice": 2.0, "a third of": 1 / 3, "two thirds of": 2 / 3, "1.5 times": 1.5}
# Pictures that were resized along one side, such as anamorphic ones: tried after the others.
SQUEEZES = {
    "three quarters of": 0.75, "4/3 times": 4 / 3, "half": 0.5, "twice": 2.0,
    "two thirds of": 2 / 3, "1.5 times": 1.5,
}  # fmt: skip
# Distortion that a calibration without any may lack: k1.
LOST_DISTORTION = (-0.1, -0.2, -0.3, -0.4, 0.1)
# A free parameter explains a little of any error.
LENS_DROP = 0.8
# Normalized screen coordinates are from -1 to 1, and somewhat beyond outside of the picture.
LARGEST_SCREEN = 2.0
# With more cameras, only two of them are exchanged, not all permuted.
MOST_PERMUTED = 4


def likeliest_cause(recording: Recording, sample: Recording) -> tuple[float, str]:
    """Return the error that undoing the likeliest cause leaves, and the cause."""
    copy = _copy(sample)
    if copy is not None:
        return copy
    trials = [*_trials(recording, sample)]
    lowest = min(remaining for remaining, _ in trials)
    likely = (trial for trial in trials if trial[0] <= AS_LIKELY * lowest + AS_LIKELY_PX)
    remaining, cause = next(likely)
    step = frame_step(recording)
    for other, camera in _without_one(sample, step):
        # A noisy camera leaves a higher error than none: a cause that keeps it is preferred.
        if remaining > max(MORE_TELLING * other, AS_LIKELY_PX):
            remaining, cause = other, camera
    return remaining, cause


def _trials(recording: Recording, sample: Recording) -> Iterator[tuple[float, str]]:
    """Yield the error that undoing each cause leaves, and the cause."""
    names, pose = sample.cameras.names, sample.cameras.camera_from_world
    rigs = [(replace(sample.cameras, camera_from_world=one), cause) for one, cause in _poses(pose)]
    poses = [(median_error(replace(sample, cameras=rig)), cause) for rig, cause in rigs]
    # Exchanged cameras of a symmetric rig may explain mirrored axes too, but not points behind.
    is_behind = is_mostly_behind(sample)
    yield from poses if is_behind else ()
    for order, cause in _exchanges(names):
        yield median_error(_exchanged(sample, order)), cause
    for cause, trial in _changed_pictures(sample):
        yield median_error(trial), cause
    yield from () if is_behind else poses
    yield from subtle_causes(recording, sample)
    if len(names) > 2:  # noqa: PLR2004 - two others fix the points
        for view, name in enumerate(names):
            for error, told in _other_pictures(sample, view):
                yield error, f"camera {name} looks wrong: it was moved, or {told}"


def subtle_causes(recording: Recording, sample: Recording) -> Iterator[tuple[float, str]]:
    """Yield the errors without causes that may hardly show: late, exchanged sides, moved."""
    corrected, told = in_step(recording)
    if corrected is not recording:
        yield median_error(sampled(corrected)), f"{told.partition(';')[0]}: --sync corrects it"
    for name in recording.cameras.names:
        error = median_error(sample.with_exchanged_sides([name]))
        told = f"the left and right joints of camera {name} are exchanged"
        yield error, f"{told}: --exchange-sides {name} corrects it"
    yield from _without_lenses(sample)
    move = moved_camera(sample.cameras, ideal_pixels(sample).transpose(0, 1).flatten(1, 2))
    if move is not None:
        name = sample.cameras.names[move.view]
        moved = f"camera {name} was moved by {100 * move.meters:.0f} cm and turned by"
        error = median_error(replace(sample, cameras=move.cameras))
        also = "".join(
            f", or {told}"
            for left, told in _other_pictures(sample, move.view)
            if left <= AS_LIKELY * error + AS_LIKELY_PX
        )
        yield error, f"{moved} {move.degrees:.1f} degrees after the calibration{also}"


def _without_lenses(sample: Recording) -> Iterator[tuple[float, str]]:
    """Yield the errors with lens distortion, and the cause, if the calibration has none."""
    cameras = sample.cameras
    if cameras.distortion is not None and bool(cameras.distortion.any()):
        return
    before = median_error(sample)
    for k1 in LOST_DISTORTION:
        distortion = cameras.intrinsics.new_zeros(cameras.views, 5)
        distortion[:, 0] = k1
        lenses = replace(cameras, distortion=distortion, lens=Lens.OPENCV)
        told = f"the calibration lacks the distortion of the lenses (k1 near {k1:g})"
        error = median_error(replace(sample, cameras=lenses))
        if error < LENS_DROP * before:
            yield error, told


def _other_pictures(sample: Recording, view: int) -> Iterator[tuple[float, str]]:
    """Yield the errors without the shift and the zoom of one camera's pixels, and the causes."""
    cameras = sample.cameras
    others = [other for other in range(cameras.views) if other != view]
    points = triangulate_dlt(cameras.projections[others], ideal_pixels(sample)[:, others])
    expected = cameras.project(points).pixels.to(sample.keypoints)
    shift = (expected - sample.keypoints)[:, view].flatten(0, 1).nanmedian(dim=0).values
    u, v = shift.tolist()
    told = f"its pictures were cropped or padded: they are shifted by ({-u:.0f}, {-v:.0f}) px"
    yield median_error(_with(sample, sample.keypoints + shift, [view])), told
    center = cameras.intrinsics[view, :2, 2].to(sample.keypoints)
    near, far = ((pixels - center).norm(dim=-1) for pixels in (expected, sample.keypoints))
    zoom = (far / near)[:, view].nanmedian()
    trial = _with(sample, center + (sample.keypoints - center) / zoom, [view])
    yield median_error(trial), f"it zoomed: its focal length is {zoom:.2f} times the calibrated one"


def _changed_pictures(sample: Recording) -> Iterator[tuple[str, Recording]]:
    """Yield recordings in which something is undone that was done to the pictures."""
    cameras = sample.cameras
    everybody = range(cameras.views)
    for views in (everybody, *([view] for view in everybody)):
        of = "" if views is everybody else f" of camera {cameras.names[views[0]]}"
        for word, scale in SCALES.items():
            pixels = (sample.keypoints + 0.5) / scale - 0.5
            yield f"the pictures{of} had {word} the calibrated size", _with(sample, pixels, views)
        for axis, name in enumerate("xy"):
            trial = _with(sample, _mirrored(sample, axis), views)
            yield f"the {name} coordinates{of} are mirrored", trial
        for word, pixels in _turned(sample):
            yield f"the pictures{of} are turned by {word}", _with(sample, pixels, views)
        told = f"the x and y coordinates{of} are exchanged (row before column)"
        yield told, _with(sample, sample.keypoints.flip(-1), views)
        K = cameras.intrinsics.clone()
        K[list(views), :2, 2] = K[list(views), :2, 2].flip(-1)
        told = f"the principal points{of} are exchanged (cy before cx)"
        yield told, replace(sample, cameras=replace(cameras, intrinsics=K))
    yield from _without_borders(sample)
    for axis, side in enumerate(("width", "height")):
        for word, scale in SQUEEZES.items():
            pixels = sample.keypoints.clone()
            pixels[..., axis] = (pixels[..., axis] + 0.5) / scale - 0.5
            cause = f"the pictures had {word} the calibrated {side}"
            yield cause, _with(sample, pixels, everybody)
    if cameras.distortion is not None:
        pinholes = replace(cameras, distortion=None, lens=Lens.OPENCV)
        yield "the lens distortion was removed already", replace(sample, cameras=pinholes)
    yield _from_middle(sample)
    corner = sample.keypoints - (_image_size(sample) - 1) / 2
    told = "the principal points, but not the pixels, are counted from the middle of the pictures"
    yield told, _with(sample, corner, everybody)
    trial = _with(sample, _from_focal_lengths(sample), everybody)
    yield "the coordinates are in focal lengths, not in fractions of the image size", trial


def _from_middle(sample: Recording) -> tuple[str, Recording]:
    """Undo one of two ways to count from the middle; numbers from -1 to 1 are no pixels."""
    size, keypoints = _image_size(sample), sample.keypoints
    if keypoints.nan_to_num().abs().max() > LARGEST_SCREEN:
        told = "the pixels are counted from the middle of the pictures"
        return told, _with(sample, keypoints + (size - 1) / 2, range(sample.cameras.views))
    told = "the coordinates are shares of the image, from -1 to 1 across its width (VideoPose3D)"
    pixels = (keypoints * size[..., :1] + size) / 2
    return told, _with(sample, pixels, range(sample.cameras.views))


def _poses(
    poses: Float[Tensor, "views 4 4"],
) -> Iterator[tuple[Float[Tensor, "views 4 4"], str]]:
    """Yield the poses that files in other conventions mean, and the convention."""
    inverse, flip = invert_transform(poses), poses.new_tensor([1.0, -1.0, -1.0, 1.0]).diag()
    inverted = "the extrinsics are inverted (camera to world)"
    axes = "the axes of the cameras are those of OpenGL (y up, z backward)"
    left_handed = "the poses are of left-handed axes (y of the cameras up, as in Unity)"
    yield inverse, inverted
    yield flip @ poses, axes
    yield flip @ inverse, f"{inverted}, and {axes}"
    R, center = poses[:, :3, :3], poses[:, :3, 3]
    moved = rigid_transform(R, -(R @ center[..., None])[..., 0])
    yield moved, "the translations are the positions of the cameras"
    yield rigid_transform(R.mT, center), "the rotations are transposed"
    yield poses.new_tensor([1.0, -1.0, 1.0, 1.0]).diag() @ poses, left_handed
    chain = [*poses[:1]]
    for before, pose in pairwise(poses):
        chain.append(before @ invert_transform(pose) @ chain[-1])
    told = "the transforms from each camera to the next are inverted (a chain, as Kalibr's)"
    yield torch.stack(chain), told
    yield from _other_quaternions(poses)


def _other_quaternions(
    poses: Float[Tensor, "views 4 4"],
) -> Iterator[tuple[Float[Tensor, "views 4 4"], str]]:
    """Yield the poses if w is first in the quaternions of a file, or last, against its format."""
    R, center = poses[:, :3, :3], invert_transform(poses)[:, :3, 3, None]
    told = "the quaternions have w at the other end (w x y z or x y z w)"
    for shift, is_inverse in product((1, -1), (False, True)):
        quaternion = rotation_to_quaternion(R.mT if is_inverse else R)
        turn = rotation_from_quaternion(quaternion.roll(shift, dims=-1))
        turn = turn.mT if is_inverse else turn
        yield rigid_transform(turn, poses[:, :3, 3]), told
        yield rigid_transform(turn, -(turn @ center)[..., 0]), told


def image_sizes(cameras: Cameras) -> Float[Tensor, "views 2"]:
    """Return the image sizes [px]; where unknown, those whose middle is the principal point."""
    if cameras.image_size is None:
        return 2 * cameras.intrinsics[:, :2, 2] + 1
    return cameras.image_size.to(cameras.intrinsics)


def _image_size(sample: Recording) -> Float[Tensor, "views 1 2"]:
    return image_sizes(sample.cameras)[:, None].to(sample.keypoints)


def _mirrored(sample: Recording, axis: int) -> Float[Tensor, "frames views joints 2"]:
    pixels = sample.keypoints.clone()
    pixels[..., axis] = _image_size(sample)[..., axis] - 1 - pixels[..., axis]
    return pixels


def _turned(sample: Recording) -> Iterator[tuple[str, Float[Tensor, "frames views joints 2"]]]:
    """Yield the pixels as they were before the pictures were turned."""
    x, y = sample.keypoints.unbind(dim=-1)
    width, height = _image_size(sample).unbind(dim=-1)
    yield "90 degrees clockwise", torch.stack([y, height - 1 - x], dim=-1)
    yield "90 degrees counterclockwise", torch.stack([width - 1 - y, x], dim=-1)
    yield "180 degrees", torch.stack([width - 1 - x, height - 1 - y], dim=-1)


def _without_borders(sample: Recording) -> Iterator[tuple[str, Recording]]:
    """Yield recordings of the pictures as they were before they were padded to squares."""
    sizes, everybody = _image_size(sample), range(sample.cameras.views)
    border = (sizes.amax(dim=-1, keepdim=True) - sizes) / 2
    cause = "the pictures were padded with borders to a square (letterbox)"
    yield cause, _with(sample, sample.keypoints - border, everybody)
    for word, scale in SCALES.items():
        pixels = (sample.keypoints + 0.5) / scale - border - 0.5
        resized = f"{cause} after a resize to {word} the calibrated size"
        yield resized, _with(sample, pixels, everybody)


def _from_focal_lengths(sample: Recording) -> Float[Tensor, "frames views joints 2"]:
    """Undo the conversion from fractions of the image size, and convert from focal lengths."""
    K = sample.cameras.intrinsics.to(sample.keypoints)[:, None]
    rays = 2 * sample.keypoints / (_image_size(sample) - 1) - 1
    return rays * K[..., [0, 1], [0, 1]] + K[..., :2, 2]


def _exchanges(names: Sequence[str]) -> Iterator[tuple[tuple[int, ...], str]]:
    """Yield other assignments of the detections to the cameras, fewest changes first."""
    plain = tuple(range(len(names)))
    for one, other in combinations(plain, 2):
        swapped = list(plain)
        swapped[one], swapped[other] = other, one
        yield tuple(swapped), f"the detections of {names[one]} and {names[other]} are exchanged"
    if len(names) > MOST_PERMUTED:
        return
    for order in permutations(plain):
        if sum(at != view for at, view in enumerate(order)) > 2:  # noqa: PLR2004 - more than a pair
            pairs = ", ".join(f"{names[view]} to {names[at]}" for at, view in enumerate(order))
            yield order, f"the detections belong to other cameras ({pairs})"


def _without_one(sample: Recording, step: int) -> Iterator[tuple[float, str]]:
    """Yield the error without the camera that alone disagrees, and the cause, if there is one."""
    for error, name in odd_camera(sample):
        first = _wrong_from(sample, max(ROUND_OFF_PX, WRONG * error))
        since = "" if first is None else f" from frame {first * step} on"
        size = "" if first is None else " or have another size there"
        told = f"camera {name} looks wrong{since}: it was moved, its pictures were cropped{size}"
        yield error, f"{told}, its frame rate is another one, or its file belongs elsewhere"


def _copy(sample: Recording) -> tuple[float, str] | None:
    """Return the error without a camera whose detections are those of another, and the cause."""
    names = sample.cameras.names
    for one, other in combinations(range(len(names)), 2):
        pair = sample.keypoints[:, [one, other]].nan_to_num()
        if pair.any() and torch.equal(pair[:, 0], pair[:, 1]):
            others = sample.select_views([name for name in names if name != names[other]])
            told = (
                f"the detections of {names[one]} and {names[other]} are equal: one file is a copy"
            )
            return median_error(others), told
    return None


def _wrong_from(sample: Recording, limit: float) -> int | None:
    """Return the frame from which on all errors are above a limit and before which none is."""
    points = triangulate_dlt(sample.cameras.projections, ideal_pixels(sample))
    typical = reprojection_errors(sample, points).flatten(1).nanmedian(dim=1).values
    known = typical.isfinite().nonzero()[:, 0]
    wrong = typical[known] > limit
    sound = int((~wrong).sum())
    if 0 < sound < len(wrong) and bool(wrong[sound:].all()):
        return int(known[sound])
    return None


def odd_camera(sample: Recording) -> Iterator[tuple[float, str]]:
    """Yield the camera that alone disagrees, after the error without it, if there is one [px]."""
    names = sample.cameras.names
    if len(names) < 3:  # noqa: PLR2004 - one camera agrees with itself
        return
    # The fewer the views, the closer the points come to the detections, whatever their noise.
    fair = _freedom(len(names)) / _freedom(len(names) - 1)
    errors = {
        name: fair * median_error(sample.select_views([other for other in names if other != name]))
        for name in names
    }
    ranked = sorted(errors, key=errors.__getitem__)
    if errors[ranked[0]] < CLEARLY_LOWER * errors[ranked[1]]:
        yield errors[ranked[0]], ranked[0]


def _freedom(views: int) -> float:
    """Return how much of the noise is left as residual: two measurements a view, three unknowns."""
    return float((1 - 3 / (2 * views)) ** 0.5)


def _exchanged(sample: Recording, order: Sequence[int]) -> Recording:
    index = list(order)
    return replace(
        sample, keypoints=sample.keypoints[:, index], confidence=sample.confidence[:, index]
    )


def _with(
    sample: Recording, pixels: Float[Tensor, "frames views joints 2"], views: Sequence[int]
) -> Recording:
    keypoints = sample.keypoints.clone()
    keypoints[:, list(views)] = pixels[:, list(views)]
    return replace(sample, keypoints=keypoints)
