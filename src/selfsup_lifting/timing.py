"""How late each camera is, from the motion that several cameras see.

If two cameras filmed at the same time, a point in one image lies on its epipolar line in the other.
If one of them is late by d frames, its point is where the body was d frames before: it is off the
line by d times its velocity across the line. So the delay is a linear regression of the signed
distances on these velocities, for every pair of cameras; only differences of delays can be seen.
"""

from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from math import floor

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom import epipolar_lines, fundamental_from_projections
from selfsup_lifting.recording import Recording, change_parts

# Cameras that are early or late by up to this many frames, and by at most this part of the frames.
MOST_FRAMES_LATE, FRAMES_PER_LATE_FRAME = 30, 4
# With more cameras than this, each is compared with so many others only.
MOST_PAIRED, NEIGHBORS = 8, 4
# The velocity is a difference over twice so many frames: noise would make the delay too small.
VELOCITY_FRAMES = 2
# Frames that are compared; more make the delay hardly more certain.
MOST_FRAMES = 3_000
REFINEMENTS = 4
# Distances above this many robust standard deviations are outliers.
OUTLIER = 3.0
# Parts of the recording that are left out in turn.
BLOCKS = 10
# The deviation of exact detections, so that it can be divided by [frames].
EXACT = 1e-6
# A smaller delay, or one of fewer standard deviations, may come from the calibration.
LEAST_FRAMES, CERTAIN = 0.2, 5.0
LARGEST_CONTRADICTION = 0.15
# The standard deviation of normal noise, by its median absolute value.
SIGMA_PER_MAD = 1.4826

Track = Float[Tensor, "frames joints 2"]


@dataclass(frozen=True)
class Delays:
    """How late each camera is, relative to the median camera.

    Attributes:
        frames: The delay of each camera [frames]; negative if it is early.
        deviation: Its standard deviation [frames]; infinite if nothing moves, or no other camera
            sees what this one sees.
        contradiction: How much the delays of pairs contradict those of the cameras [frames]. If it
            is large, something else is wrong, or the calibration is poor.
    """

    frames: Float[Tensor, "views"]
    deviation: Float[Tensor, "views"]
    contradiction: float

    @property
    def is_certain(self) -> Bool[Tensor, "views"]:
        """Whether each camera is certainly early or late."""
        size = self.frames.abs()
        agreed = self.contradiction < LARGEST_CONTRADICTION
        return agreed & (size > LEAST_FRAMES) & (size > CERTAIN * self.deviation)


def camera_delays(recording: Recording) -> Delays:
    """Measure how late each camera is, to fractions of a frame.

    Args:
        recording: A recording of calibrated cameras.

    Returns:
        The delays; zero with an infinite deviation where they cannot be seen.

    Example:
        >>> from selfsup_lifting import ReadSettings, read_recordings
        >>> recording = read_recordings(["synthetic"], ReadSettings())[0]
        >>> camera_delays(recording).frames.abs().max() < 0.1
        tensor(True)
    """
    cameras = recording.cameras
    part = recording.frames(slice(0, MOST_FRAMES))
    ideal = cameras.undistort(part.keypoints.to(cameras.intrinsics))
    pixels = torch.where(ideal.valid[..., None], ideal.pixels, torch.nan)
    pairs = _pairs(cameras.views)
    fundamentals = [
        fundamental_from_projections(cameras.projections[one], cameras.projections[other])
        for one, other in pairs
    ]
    found = [
        _relative_delay(F, pixels[:, one], pixels[:, other])
        for F, (one, other) in zip(fundamentals, pairs, strict=True)
    ]
    return _from_pairs(cameras.views, pairs, found)


def _pairs(views: int) -> list[tuple[int, int]]:
    """Return all pairs of cameras, of many those of each with the next ones around the ring."""
    return [
        (one, other)
        for one, other in combinations(range(views), 2)
        if min(other - one, views - other + one) <= NEIGHBORS
    ]


def synchronized(recording: Recording, delays: Float[Tensor, "views"]) -> Recording:
    """Move the detections of each camera to the time of the others, between frames linearly.

    Args:
        recording: A recording.
        delays: How late each camera is [frames].

    Returns:
        The recording; at its ends, detections that a camera did not make are missing.
    """
    shifted = partial(_shifted, delays=delays)
    return change_parts(recording, shifted, around=1 + int(delays.abs().max().ceil()))


def _shifted(recording: Recording, delays: Float[Tensor, "views"]) -> Recording:
    """Move the detections of each camera to the time of the others."""
    numbers = torch.cat([recording.keypoints, recording.confidence[..., None]], dim=-1)
    views = zip(numbers.unbind(1), delays.tolist(), strict=True)
    moved = torch.stack([_at_later(track, late) for track, late in views], dim=1)
    seen = moved.isfinite().all(dim=-1)
    return replace(
        recording,
        keypoints=torch.where(seen[..., None], moved[..., :2], torch.nan),
        confidence=torch.where(seen, moved[..., 2], 0.0),
    )


def in_step(recording: Recording) -> tuple[Recording, str]:
    """Shift the cameras that are certainly early or late.

    Returns:
        The recording, and a sentence that says which cameras were shifted by how much.
    """
    delays = camera_delays(recording)
    late = torch.where(delays.is_certain, delays.frames, 0.0)
    names = recording.cameras.names
    told = [
        f"camera {name} is {described(frames)}"
        for name, frames in zip(names, late.tolist(), strict=True)
        if frames
    ]
    if not told:
        return recording, "no camera is certainly early or late"
    return synchronized(recording, late), f"{', '.join(told)}; its detections were shifted"


def described(late: float) -> str:
    """Describe a delay: "0.4 frames late"."""
    return f"{round(abs(late), 1):g} frames {'late' if late > 0 else 'early'}"


def _relative_delay(
    fundamental: Float[Tensor, "3 3"], first: Track, second: Track
) -> tuple[float, float]:
    """Return how much later the second camera is than the first, and the standard deviation."""
    most = min(MOST_FRAMES_LATE, len(first) // FRAMES_PER_LATE_FRAME)
    lines = epipolar_lines(fundamental, first)
    late = float(_best_whole_delay(lines, second, most))
    deviation = torch.inf
    for _ in range(REFINEMENTS):
        distance = _signed_distance(lines, _at_later(second, late))
        velocity = (lines[..., :2] * _velocity(_at_later(second, late))).sum(dim=-1)
        step, deviation = _slope(distance, velocity)
        if deviation == torch.inf:
            return 0.0, torch.inf
        late -= max(-1.0, min(1.0, step))
    return late, deviation


def _best_whole_delay(lines: Float[Tensor, "frames joints 3"], second: Track, most: int) -> int:
    """Return the whole number of frames at which the points lie closest to their lines."""
    errors = {}
    for late in range(-most, most + 1):
        distance = _signed_distance(lines, _at_later(second, float(late))).abs()
        known = distance[distance.isfinite()]
        errors[late] = float(known.median()) if len(known) else torch.inf
    # Of equal errors, the smallest delay.
    return min(errors, key=lambda late: (errors[late], abs(late)))


def _signed_distance(
    lines: Float[Tensor, "frames joints 3"], points: Track
) -> Float[Tensor, "frames joints"]:
    """Return the distances of points from lines with normals of length one."""
    distance: Tensor = (lines[..., :2] * points).sum(dim=-1) + lines[..., 2]
    return distance


def _velocity(track: Track) -> Track:
    """Return the velocity of every joint [px per frame]; NaN at the ends."""
    velocity = torch.full_like(track, torch.nan)
    ahead = track[2 * VELOCITY_FRAMES :] - track[: -2 * VELOCITY_FRAMES]
    velocity[VELOCITY_FRAMES:-VELOCITY_FRAMES] = ahead / (2 * VELOCITY_FRAMES)
    return velocity


def _slope(
    distance: Float[Tensor, "frames joints"], velocity: Float[Tensor, "frames joints"]
) -> tuple[float, float]:
    """Return the slope of distances over velocities, without outliers, and its deviation.

    The distances of one joint share a systematic error, which is left out: a detector places a hip
    where it thinks fit, in each view elsewhere.
    """
    known = distance.isfinite() & velocity.isfinite()
    if known.sum() < distance.shape[1]:
        return 0.0, torch.inf
    distance, velocity = (torch.where(known, one, torch.nan) for one in (distance, velocity))
    distance = distance - distance.nanmedian(dim=0).values
    slope = spread = torch.zeros((), dtype=distance.dtype)
    inlier = known
    for _ in range(3):
        power = torch.where(inlier, velocity.square(), 0.0).sum()
        if not power > 0:
            return 0.0, torch.inf
        slope = torch.where(inlier, distance * velocity, 0.0).sum() / power
        rest = (distance - slope * velocity).abs()
        spread = SIGMA_PER_MAD * rest[known].median()
        inlier = known & (rest <= OUTLIER * spread)
    return float(slope), _jackknife(
        torch.where(inlier, distance * velocity, 0.0).sum(dim=1),
        torch.where(inlier, velocity.square(), 0.0).sum(dim=1),
    )


def _jackknife(products: Float[Tensor, "frames"], powers: Float[Tensor, "frames"]) -> float:
    """Return the standard deviation of a slope, from how it changes without a part of the frames.

    Errors of calibrations and detectors last for many frames: as single measurements they would
    make the slope look far too certain.
    """
    left = [
        (total.sum() - torch.stack([part.sum() for part in total.tensor_split(BLOCKS)]))
        for total in (products, powers)
    ]
    slopes = left[0] / left[1]
    spread = (BLOCKS - 1) / BLOCKS * (slopes - slopes.mean()).square().sum()
    return max(EXACT, float(spread.sqrt().nan_to_num(torch.inf)))


def _at_later(
    track: Float[Tensor, "frames joints n"], late: float
) -> Float[Tensor, "frames joints n"]:
    """Return a track as it is so many frames later, between frames linearly; NaN outside."""
    whole = floor(late)
    share = late - whole
    before = torch.arange(len(track)) + whole
    inside = (before >= 0) & (before + (share > 0) < len(track))
    before = before.clamp(0, len(track) - 1)
    found = track[before]
    if share > 0:
        after = (before + 1).clamp(max=len(track) - 1)
        found = torch.lerp(found, track[after], share)
    return torch.where(inside[:, None, None], found, torch.nan)


def _from_pairs(
    views: int, pairs: list[tuple[int, int]], found: list[tuple[float, float]]
) -> Delays:
    """Find the delays of the cameras from those between pairs, by weighted least squares."""
    known = [at for at, (_, deviation) in enumerate(found) if deviation < torch.inf]
    nothing = torch.zeros(views, dtype=torch.float64)
    if not known:
        return Delays(nothing, torch.full_like(nothing, torch.inf), 0.0)
    signs = torch.zeros(len(known), views, dtype=torch.float64)
    for row, at in enumerate(known):
        signs[row, pairs[at][0]], signs[row, pairs[at][1]] = -1.0, 1.0
    values, deviations = torch.tensor([found[at] for at in known], dtype=torch.float64).unbind(1)
    equations = signs / deviations[:, None]
    inverse = torch.linalg.pinv(equations.T @ equations)
    frames = inverse @ (equations.T @ (values / deviations))
    seen = signs.abs().sum(dim=0) > 0
    freedom = max(1, len(known) - int(seen.sum()) + 1)
    contradiction = ((values - signs @ frames).square().sum() / freedom).sqrt()
    deviation = torch.where(seen, inverse.diagonal().sqrt(), torch.inf)
    frames = torch.where(seen, frames - frames[seen].median(), 0.0)
    return Delays(frames, deviation, float(contradiction))
