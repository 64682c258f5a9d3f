"""Whether the cameras of a recording agree, and if not, the most likely cause."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from multiview_geom import triangulate_dlt_svd
from selfsup_lifting.disagreement import ROUND_OFF_PX, likeliest_cause, subtle_causes
from selfsup_lifting.recording import Recording, require_kind
from selfsup_lifting.sampled_errors import (
    median_error,
    sampled,
    subject_size_px,
    with_compared_cameras,
)

# A cause is only searched above this error, as a share of the subject's size in the image: the
# errors of detectors and usual calibrations.
USUAL_SHARE = 0.02
# Above this share the cameras disagree even if no cause is found.
LARGEST_SHARE = 0.05
# A cause is named if undoing it leaves at most this share of the error.
TELLING_DROP = 0.4
# Errors that are usual have a cause if undoing it leaves at most this share of them.
SUBTLE_DROP = 0.99


@dataclass(frozen=True)
class Agreement:
    """How well the cameras of a recording agree.

    Attributes:
        median_px: Median reprojection error of all detections [px].
        share: The same, divided by the subject's size in the image.
        cause: What is most likely wrong, if anything is.
        remaining_px: The median error that is left if the cause is undone [px].
        is_usual: Whether the error is as low as that of other recordings, in spite of the cause.
    """

    median_px: float
    share: float
    cause: str = ""
    remaining_px: float = torch.nan
    is_usual: bool = False

    @property
    def is_bad(self) -> bool:
        """Whether the cameras disagree."""
        caused = bool(self.cause) and not self.is_usual
        return caused or (self.median_px > ROUND_OFF_PX and self.share > LARGEST_SHARE)

    @property
    def is_sound(self) -> bool:
        """Whether there is nothing to report."""
        return not (self.is_bad or self.cause)

    @property
    def summary(self) -> str:
        """Say how well the cameras agree, and what is usual."""
        usual = self.median_px < ROUND_OFF_PX or self.share < USUAL_SHARE
        well = "disagree" if self.is_bad else "agree" if usual else "agree less well than usual"
        return (
            f"The cameras {well}: before outliers are removed, the median reprojection error is "
            f"{self.median_px:.1f} px, {self.share:.1%} of the subject's size in the image (below "
            f"{USUAL_SHARE:.0%} is usual; above {LARGEST_SHARE:.0%}, cameras disagree)."
        )

    def sentence(self, name: str) -> str:
        """Describe the disagreement of a recording and its most likely cause."""
        if self.is_usual:
            return (
                f"{name}: {self.cause}; undone, the median reprojection error falls from "
                f"{self.median_px:.2f} to {self.remaining_px:.2f} px"
            )
        error = (
            f"{name}: the cameras disagree: the median reprojection error is {self.median_px:.1f} "
            f"px, {self.share:.1%} of the subject's size in the image"
        )
        if not self.cause:
            return f"{error}; no single cause explains it"
        left = f"which would leave {self.remaining_px:.1f} px"
        if self.remaining_px * self.share > LARGEST_SHARE * self.median_px:
            return f"{error}; no single cause explains it; the nearest is that {self.cause}, {left}"
        return f"{error}; most likely {self.cause}, {left}"


def camera_agreement(recording: Recording, *, thorough: bool = False) -> Agreement | None:
    """Measure how well the cameras agree, and search the cause if they do not.

    Args:
        recording: Any recording. Of more than 32 cameras, 32 that are spread over the rig are
            compared.
        thorough: Whether causes are searched in usual errors too, which takes a second or more.

    Returns:
        The agreement; None for one camera, or if no joint is seen by two cameras.
    """
    require_kind("recording", recording, Recording)
    if recording.cameras.views < 2:  # noqa: PLR2004 - one camera agrees with itself
        return None
    recording = with_compared_cameras(recording)
    sample = sampled(recording)
    median = median_error(sample, triangulate_dlt_svd)
    if not median < torch.inf:
        return None
    found = Agreement(median, median / subject_size_px(sample))
    usual = median < ROUND_OFF_PX or found.share < USUAL_SHARE
    remaining, cause = (torch.inf, "") if usual else likeliest_cause(recording, sample)
    if remaining <= TELLING_DROP * median:
        return replace(found, cause=cause, remaining_px=remaining)
    if not thorough:
        return found
    remaining, cause = min(subtle_causes(recording, sample), default=(torch.inf, ""))
    if remaining > SUBTLE_DROP * median:
        return found
    return replace(found, cause=cause, remaining_px=remaining, is_usual=True)


def require_agreement(recordings: Sequence[Recording], limit: float) -> list[str]:
    """Refuse recordings whose cameras disagree beyond a limit.

    Args:
        recordings: What to train with.
        limit: The largest reprojection error, as a share of the subject's size in the image.

    Returns:
        One sentence for each recording whose cameras disagree, but not beyond the limit.

    Raises:
        ValueError: If the cameras of a recording disagree beyond the limit; with the likely cause.
    """
    sentences = []
    for recording in recordings:
        agreement = camera_agreement(recording)
        if agreement is None or agreement.is_sound:
            continue
        sentences.append(agreement.sentence(recording.name))
        if agreement.is_bad and agreement.share > limit:
            allowed = f"--most-disagreement {agreement.share + 0.01:.2f}"
            raise ValueError(f"{sentences[-1]}; to train nevertheless, pass {allowed}")
    return sentences
