"""Fill and smooth 3D tracks in time."""

from collections.abc import Iterator
from math import atan, pi, tan

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from selfsup_lifting.gap_filling import fill_track_gaps
from selfsup_lifting.mapped import new_tensor, release_pages
from selfsup_lifting.smoothing_settings import ORDER, SmoothingSettings

# Below this share of the frame rate, the coefficients of the filter are lost in round-off.
LOWEST_CUTOFF = 1e-5


def smooth_tracks(
    tracks: Float[Tensor, "frames joints 3"], fps: float, settings: SmoothingSettings
) -> Float[Tensor, "frames joints 3"]:
    """Fill short gaps of 3D tracks, and smooth what is known.

    The cutoff is the frequency at which the whole filter, both passes, has the gain 1/sqrt(2).
    Pose2Sim designs each pass for its cutoff and smooths more: its 6 Hz are about 4.8 Hz here.

    Args:
        tracks: Joint positions [any unit]; NaN where unknown.
        fps: Frame rate [1/s].
        settings: What to do.

    Returns:
        The tracks. Each uninterrupted part of a joint's track is smoothed by itself; gaps that
        were not filled stay NaN. A joint is filtered over all frames at once, one after the other.

    Raises:
        ValueError: If the cutoff frequency is not below half the frame rate.

    Reference:
        Robertson and Dowling, Design and responses of Butterworth and critically damped digital
        filters, Journal of Electromyography and Kinesiology 13, 2003.

    Example:
        >>> noisy = torch.tensor([0.0, 1.0] * 30).reshape(60, 1, 1).expand(60, 1, 3)
        >>> smooth_tracks(noisy, 60.0, SmoothingSettings(cutoff_hz=6.0))[30, 0, 0].round(decimals=2)
        tensor(0.5000)
    """
    filter_ = None if settings.cutoff_hz is None else _low_pass(fps, settings.cutoff_hz)
    if filter_ is None and not settings.fill_gaps_3d:
        return tracks
    smoothed = new_tensor(tuple(tracks.shape), tracks.dtype)
    for joint in range(tracks.shape[1]):
        track = fill_track_gaps(tracks[:, joint : joint + 1], settings.fill_gaps_3d)[:, 0]
        smoothed[:, joint] = track if filter_ is None else _smoothed(track, filter_)
        release_pages()
    return smoothed


def _smoothed(
    track: Float[Tensor, "frames 3"], sections: NDArray[np.float64]
) -> Float[Tensor, "frames 3"]:
    """Filter each uninterrupted part of the track of a joint."""
    points = track.double().numpy().copy()
    for part in _known_parts(points):
        points[part] = _filtered(sections, points[part])
    return torch.from_numpy(points)


def require_cutoff_below_nyquist(fps: float, cutoff_hz: float | None) -> None:
    """Raise a ValueError if a cutoff frequency is not below half the frame rate."""
    if cutoff_hz is None:
        return
    if not cutoff_hz < fps / 2:
        raise ValueError(
            f"`cutoff_hz` must be below half the frame rate of {fps:g} per s, got {cutoff_hz:g}"
        )
    if not cutoff_hz > LOWEST_CUTOFF * fps:
        raise ValueError(
            f"`cutoff_hz` must be above {LOWEST_CUTOFF:g} of the frame rate of {fps:g} per s, got "
            f"{cutoff_hz:g}"
        )


def _known_parts(points: NDArray[np.float64]) -> Iterator[slice]:
    """Yield the frames of each uninterrupted part of a track."""
    known = np.isfinite(points).all(axis=1)
    edges = np.flatnonzero(np.diff(known, prepend=False, append=False))
    for first, end in edges.reshape(-1, 2).tolist():
        yield slice(first, end)


def _low_pass(fps: float, cutoff_hz: float) -> NDArray[np.float64]:
    """Return the sections of one pass of the filter."""
    from scipy.signal import butter

    require_cutoff_below_nyquist(fps, cutoff_hz)
    # The bilinear transform maps a frequency f to tan(pi f / fps).
    single_pass = tan(pi * cutoff_hz / fps) / (2**0.5 - 1) ** (1 / (2 * ORDER))
    sections: NDArray[np.float64] = butter(
        ORDER, atan(single_pass) * fps / pi, fs=fps, output="sos"
    )
    return sections


def _filtered(sections: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.signal import sosfiltfilt

    usual = 3 * (ORDER + 1)
    filtered: NDArray[np.float64] = sosfiltfilt(
        sections, points, axis=0, padlen=min(usual, len(points) - 1)
    )
    return filtered
