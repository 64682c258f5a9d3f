"""Lift the frames of one camera as they come: one frame in, one pose out, without delay."""

import logging
from collections import deque
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom import Cameras
from selfsup_lifting.files.tracks.view_tracks import LARGEST_CONFIDENCE
from selfsup_lifting.inference import note_on_pictures, require_pixels
from selfsup_lifting.lens_table import LensTable
from selfsup_lifting.one_pose import OnePose
from selfsup_lifting.pose_refinement import measure_body, refine_poses
from selfsup_lifting.recording import require_kind
from selfsup_lifting.training.lifter import Lifter, require_lifter

# The bones are measured in so many of the last frames.
MOST_FRAMES = 300
# A person who is farther from where the followed one was than so many sizes is somebody else.
FARTHEST_SIZES = 1.0
# The most frames for which what is not detected may be held: years.
MOST_HELD = 10**9

_log = logging.getLogger(__name__)


class StreamedPose(NamedTuple):
    """The pose of one frame.

    Attributes:
        points: Joints relative to the root, in the camera's axes [m]; NaN if the person is lost.
        keypoints: The joints in the image that were lifted, with held ones [px]; NaN if unknown.
        image: The same in normalized image coordinates, without lens distortion [focal lengths].
        person: Which of the frame's people was followed; None if none of them.
        held: Which joints were not detected and are held from earlier frames.
        covariance: How sure the lifter is of each joint, in the camera's axes [m^2]; None for a
            lifter without uncertainty.

    Example:
        >>> unknown = torch.full((17, 3), torch.nan)
        >>> nobody = torch.zeros(17, dtype=torch.bool)
        >>> lost = StreamedPose(unknown, unknown[:, :2], unknown[:, :2], None, nobody)
        >>> lost.person is None
        True
    """

    points: Float[Tensor, "joints 3"]
    keypoints: Float[Tensor, "joints 2"]
    image: Float[Tensor, "joints 2"]
    person: int | None
    held: Bool[Tensor, "joints"]
    covariance: Float[Tensor, "joints 3 3"] | None = None


class PoseStream:
    """Follow one person in the frames of one camera, and lift every frame at once.

    A joint that is not detected keeps its place relative to the other joints, and a person who is
    not detected keeps the last pose, for some frames. Among several people, the one nearest to the
    followed person is taken; nobody is taken who is farther away than the person's own size. After
    too many frames without detection, the most certain person is followed.

    With `refine`, each pose is refined as by `lift_parts`, but by what is known so far: by its own
    pixels, and by the median bones of this person in the frames before. It is not smoothed.

    Args:
        lifter: A trained network in evaluation mode, on the CPU.
        camera: The rig of the one camera.
        hold: Number of frames for which what is not detected is held.
        refine: Whether to refine the poses by their pixels and the bones of earlier frames.

    Attributes:
        skeleton: The joints of the poses.

    Raises:
        ValueError: If the rig has several cameras, `hold` is negative or no whole number, or an
            argument is of another kind.

    Example:
        >>> from selfsup_lifting import ReadSettings, read_recordings
        >>> from selfsup_lifting.config import LifterSettings
        >>> recording = read_recordings(["synthetic"], ReadSettings())[0].select_views(["cam_2"])
        >>> untrained = Lifter(recording.skeleton, LifterSettings(width=8, blocks=1)).eval()
        >>> stream = PoseStream(untrained, recording.cameras)
        >>> for people in recording.keypoints[:3]:
        ...     pose = stream.step(people)
        >>> pose.points.shape, pose.person
        (torch.Size([17, 3]), 0)
    """

    def __init__(
        self, lifter: Lifter, camera: Cameras, *, hold: int = 10, refine: bool = False
    ) -> None:
        require_lifter(lifter)
        require_kind("camera", camera, Cameras)
        if camera.views != 1:
            raise ValueError(f"`camera` must have one view, got {', '.join(camera.names)}")
        require_kind("refine", refine, bool)
        is_whole = isinstance(hold, int | np.integer) and not isinstance(hold, bool)
        if not is_whole or not 0 <= hold <= MOST_HELD:
            raise ValueError(f"`hold` must be 0 to {MOST_HELD} whole frames, got {hold!r}")
        self.skeleton, self._one_pose, self._hold = lifter.skeleton, OnePose(lifter), hold
        self._lifter = self._one_pose.lifter
        self._camera, self._normalized = camera, LensTable(camera)
        joints = len(lifter.skeleton.joints)
        self._keypoints = np.full((joints, 2), np.nan, np.float32)
        self._confidence = np.zeros(joints, np.float32)
        self._age = np.full(joints, hold + 1)
        self._refine = refine
        self._frames, self._warned = 0, False
        self._history: deque[Float[Tensor, "joints 3"]] = deque(maxlen=MOST_FRAMES)

    def step(
        self,
        people: Float[Tensor, "people joints 2"],
        confidence: Float[Tensor, "people joints"] | None = None,
    ) -> StreamedPose:
        """Lift one frame.

        A warning names the first frame in which most joints are outside of the picture.

        Args:
            people: The detected people, with lens distortion [px]; NaN where a joint is missing.
            confidence: The detector's confidence, from 0 to 1; 1 by default.

        Returns:
            The pose of the followed person.

        Raises:
            ValueError: If a shape is another one, the numbers are not real ones, or the confidence
                of a detected joint is not from 0 to 1, or a person is within one pixel: most
                likely fractions of the image size.
        """
        joints = len(self.skeleton.joints)
        if not isinstance(people, Tensor) or people.shape[1:] != (joints, 2):
            got = tuple(people.shape) if isinstance(people, Tensor) else type(people).__name__
            raise ValueError(f"`people` must be a tensor of shape (people, {joints}, 2), got {got}")
        found = _numbers("people", people)
        seen = np.isfinite(found).all(axis=-1)
        trust = seen.astype(np.float32)
        if confidence is not None:
            require_kind("confidence", confidence, Tensor)
            if confidence.shape != people.shape[:2]:
                expected, got = tuple(people.shape[:2]), tuple(confidence.shape)
                raise ValueError(f"`confidence` must have shape {expected}, got {got}")
            trust = np.where(seen, _numbers("confidence", confidence), np.float32(0))
            odd = ~((trust >= 0) & (trust <= LARGEST_CONFIDENCE))
            if odd.any():
                raise ValueError(f"`confidence` must be from 0 to 1, got {trust[odd][0]:g}")
        detections = torch.from_numpy(found), torch.from_numpy(trust)
        require_pixels("`people`", self._camera, *detections)
        self._warn_once(*detections)
        person = self._followed(found, trust)
        self._age += 1
        if person is not None:
            self._update(found[person], trust[person], seen[person])
        lost = self._age > self._hold
        self._keypoints[lost] = np.nan
        self._confidence[lost] = 0.0
        held = (self._age > 0) & ~lost
        if lost.all():
            self._history.clear()
        image = torch.from_numpy(self._normalized(self._keypoints).astype(np.float32))
        points, covariance = self._lifted(image[None], detected=person is not None)
        # Copies, so that autograd takes what inference mode has computed.
        return StreamedPose(
            torch.from_numpy(points.numpy()), torch.from_numpy(self._keypoints.copy()), image,
            person, torch.from_numpy(held),
            None if covariance is None else torch.from_numpy(covariance.numpy()),
        )  # fmt: skip

    def _warn_once(
        self, people: Float[Tensor, "people joints 2"], trust: Float[Tensor, "people joints"]
    ) -> None:
        """Name the first frame in which most joints are outside of the picture."""
        if not self._warned and (
            note := note_on_pictures(self._camera, people[:, None], trust[:, None])
        ):
            self._warned = True
            _log.warning("frame %d of the stream: %s", self._frames, note)
        self._frames += 1

    @torch.inference_mode()
    def _lifted(
        self, image: Float[Tensor, "1 joints 2"], *, detected: bool
    ) -> tuple[Float[Tensor, "joints 3"], Float[Tensor, "joints 3 3"] | None]:
        """Lift the present joints, as `lift` and `lift_covariances` do; refine them if asked."""
        seen = image.isfinite().all(dim=-1)
        inputs = (image, seen, torch.from_numpy(self._confidence)[None])
        points = self._one_pose(*(one[0] for one in inputs))
        if self._refine:
            return self._refined(points, *inputs, detected=detected), None
        if not self._lifter.settings.uncertainty:
            return points, None
        covariance = self._lifter.covariances(*inputs)[0]
        return points, covariance if seen.any() else torch.full_like(covariance, torch.nan)

    def _refined(
        self,
        points: Float[Tensor, "joints 3"],
        image: Float[Tensor, "1 joints 2"],
        seen: Bool[Tensor, "1 joints"],
        confidence: Float[Tensor, "1 joints"],
        *,
        detected: bool,
    ) -> Float[Tensor, "joints 3"]:
        """Refine a pose by its pixels, and by the bones of this person so far."""
        if detected:
            self._history.append(points)
        if not self._history:
            return points
        lifter, skeleton, covariance = self._lifter, self._lifter.skeleton, None
        if lifter.settings.uncertainty:
            covariance = lifter.covariances(image, seen, confidence)
        body = measure_body(torch.stack([*self._history]), skeleton)
        return refine_poses(points[None], image, confidence, body, skeleton.root, covariance)[0]

    def _followed(
        self,
        people: Float[np.ndarray, "people joints 2"],
        trust: Float[np.ndarray, "people joints"],
    ) -> int | None:
        """Return the number of the person to follow."""
        if not trust.any():
            return None
        known = np.isfinite(self._keypoints).all(axis=-1)
        if not known.any():
            return int(trust.sum(axis=-1).argmax())
        last = self._keypoints[known]
        size = np.hypot(*(last.max(axis=0) - last.min(axis=0)))
        distances = np.hypot(*np.moveaxis(people[:, known] - last, -1, 0))
        common = np.isfinite(distances)
        total = np.where(common, distances, 0.0).sum(axis=-1)
        means = np.where(common.any(axis=-1), total / np.maximum(common.sum(axis=-1), 1), np.inf)
        nearest = int(means.argmin())
        return nearest if means[nearest] <= FARTHEST_SIZES * size else None

    def _update(
        self,
        keypoints: Float[np.ndarray, "joints 2"],
        trust: Float[np.ndarray, "joints"],
        seen: Bool[np.ndarray, "joints"],
    ) -> None:
        """Take over what was detected, and move what was not together with it."""
        both = seen & np.isfinite(self._keypoints).all(axis=-1)
        if both.any():
            self._keypoints += (keypoints - self._keypoints)[both].mean(axis=0)
        self._keypoints[seen] = keypoints[seen]
        self._confidence[seen] = trust[seen]
        self._age[seen] = 0


def _numbers(name: str, tensor: Tensor) -> Float[np.ndarray, "people joints *axes"]:
    """Return real numbers as an array of float32."""
    if tensor.is_complex() or tensor.dtype is torch.bool:
        raise ValueError(f"`{name}` must have real numbers, got {tensor.dtype}")
    return tensor.float().numpy(force=True)
