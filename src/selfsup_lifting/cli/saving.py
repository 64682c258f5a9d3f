"""Writing 3D tracks to the files of `--out`: one file per recording and format."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.cli.options import PredictOptions, TrackOptions, choose
from selfsup_lifting.export import require_writable, save_tracks
from selfsup_lifting.files import holds_recordings
from selfsup_lifting.point_quality import PointQuality
from selfsup_lifting.read_errors import listed
from selfsup_lifting.recording import Recording, distinct
from selfsup_lifting.skeleton.marker_names import MarkerNames, marker_names
from selfsup_lifting.skeleton.skeletons import Skeleton
from selfsup_lifting.smoothing import require_cutoff_below_nyquist, smooth_tracks
from selfsup_lifting.upright import UPRIGHT, top_of_pictures, world_up

# Files that say which axis points up, or whose axes are turned so that y does.
Y_UP = (".trc", ".c3d", ".bvh", ".glb")
# Characters of a recording's name in the name of a file, which may have 255 bytes.
LONGEST_NAME = 60


class NoTrackError(ValueError):
    """No joint of a recording is known in any frame; the tracks of other recordings are written."""


def require_outputs(options: TrackOptions) -> None:
    """Refuse files that cannot be written, before any work is done."""
    if options.up is not None:
        choose(UPRIGHT, options.up, "up")
    for path in options.out:
        require_writable(path, overwrite=options.overwrite)
        require_no_detections(path)


def require_no_detections(path: Path) -> None:
    """Refuse to replace a file that recordings can be read from: it is no result."""
    if path.is_file() and holds_recordings(path):
        raise FileExistsError(
            f"{path} holds detections or a recording, and --overwrite replaces results only: name "
            "another file"
        )


def outputs_of(
    options: TrackOptions, recordings: Sequence[Recording]
) -> list[tuple[Recording, tuple[Path, ...]]]:
    """Name the files of every recording: those of `--out`, with the name if there are several.

    Recordings that cannot be smoothed and files that cannot be written are refused here, before any
    work is done.
    """
    for recording in recordings:
        require_cutoff_below_nyquist(recording.fps, options.smoothing.cutoff_hz)
    if len(recordings) == 1:
        return [(recordings[0], options.out)]
    plain = [re.sub(r"[^\w.-]+", "_", recording.name) for recording in recordings]
    names = distinct([name[:LONGEST_NAME] for name in plain])
    files = [
        tuple(path.with_name(f"{path.stem}-{name}{path.suffix}") for path in options.out)
        for name in names
    ]
    for path in (path for paths in files for path in paths):
        require_writable(path, overwrite=options.overwrite)
    return list(zip(recordings, files, strict=True))


def save_outputs(
    options: TrackOptions,
    paths: Sequence[Path],
    tracks: Float[Tensor, "frames joints 3"],
    recording: Recording,
    quality: PointQuality,
    covariance: Float[Tensor, "frames joints 3 3"] | None = None,
) -> Iterator[str]:
    """Fill, smooth and write the tracks of a recording, and yield a line about each file."""
    tracks = smooth_tracks(tracks, recording.fps, options.smoothing)
    coordinates = options.coordinates if isinstance(options, PredictOptions) else "world"
    skeleton = _with_marker_names(recording, options.marker_names)
    unknown = ~tracks.isfinite().all(dim=-1).any(dim=0)
    if paths and unknown.all():
        is_seen = isinstance(options, PredictOptions) and recording.keypoints.isfinite().any()
        cause = "; it has detections: the weights of the model are likely damaged" * bool(is_seen)
        raise NoTrackError(
            f"{recording.name}: no joint is known in any frame: nothing is written{cause}"
        )
    up = options.up or world_up(recording.cameras, recording.skeleton, tracks)
    if paths:
        yield from _doubts(options, paths, recording, up if coordinates == "world" else None)
    for path in paths:
        save_tracks(
            path, tracks, skeleton=skeleton, fps=recording.fps,
            coordinates=coordinates, up=up, fill=options.fill,
            processing=options.smoothing.describe(), quality=quality, covariance=covariance,
            overwrite=options.overwrite,
        )  # fmt: skip
        yield f"wrote {path}"
    if paths and options.marker_names is MarkerNames.ORIGINAL and not recording.source.markers:
        yield (
            f"{recording.name}: the files that were read name no joints, so that --marker-names "
            f"original writes our names, such as {skeleton.joints[0]}"
        )
    lost = [name for name, never in zip(skeleton.joints, unknown, strict=True) if never]
    if paths and lost:
        yield (
            f"{recording.name}: {listed(lost)} {'is' if len(lost) == 1 else 'are'} known in no "
            "frame: .bvh and .glb files leave it out, the others have no position of it, also with "
            "--fill"
        )
    if not paths:
        yield f"{recording.name}: nothing was saved; --out FILE saves the 3D track"


def _doubts(
    options: TrackOptions, paths: Sequence[Path], recording: Recording, up: str | None
) -> Iterator[str]:
    """Yield what is doubtful in files with this axis up; None if they are not of the world."""
    turned = [str(path) for path in paths if path.suffix in Y_UP]
    top = top_of_pictures(recording.cameras)
    if turned and options.up is None and None not in {up, top} and up != top:
        yield (
            f"warning: {recording.name}: the person's trunk points along {up}, the tops of the "
            f"pictures along {top}: does the person lie? {listed(turned)} takes {up} as up; --up "
            "overrules it"
        )
    cutoff, seconds = options.smoothing.cutoff_hz, recording.frame_count / recording.fps
    if cutoff is not None and cutoff * seconds < 1:
        yield (
            f"warning: {recording.name}: `cutoff_hz` {cutoff:g} is less than one cycle in the "
            f"{seconds:.3g} s of the recording: hardly any motion is left"
        )


def _with_marker_names(recording: Recording, names: MarkerNames) -> Skeleton:
    """Return the skeleton of a recording, with the names that the files shall have."""
    skeleton, original = recording.skeleton, dict(recording.source.markers)
    joints = marker_names(skeleton.joints, names, skeleton=skeleton.name, original=original)
    return replace(skeleton, joints=joints)
