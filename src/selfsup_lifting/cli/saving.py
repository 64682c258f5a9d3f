"""Writing 3D tracks to the files of `--out`: one file per recording and format."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.cli.options import PredictOptions, ResultOptions
from selfsup_lifting.export import require_writable, save_tracks
from selfsup_lifting.recording import Recording
from selfsup_lifting.upright import world_up


def require_outputs(options: ResultOptions) -> None:
    """Refuse files that cannot be written, before any work is done."""
    for place, path in enumerate(options.out):
        require_writable(path, overwrite=options.overwrite)
        if path in options.out[:place]:
            raise ValueError(f"`out` names {path} twice")


def outputs_of(
    options: ResultOptions, recordings: Sequence[Recording]
) -> list[tuple[Recording, tuple[Path, ...]]]:
    """Name the files of every recording: those of `--out`, with the name if there are several."""
    if len(recordings) == 1:
        return [(recordings[0], options.out)]
    names = [re.sub(r"[^\w.-]+", "_", recording.name) for recording in recordings]
    files = [
        tuple(path.with_name(f"{path.stem}-{name}{path.suffix}") for path in options.out)
        for name in names
    ]
    for path in (path for paths in files for path in paths):
        require_writable(path, overwrite=options.overwrite)
    return list(zip(recordings, files, strict=True))


def save_outputs(
    options: ResultOptions,
    paths: Sequence[Path],
    tracks: Float[Tensor, "frames joints 3"],
    recording: Recording,
) -> Iterator[str]:
    """Write the tracks of a recording, and yield a line about each file."""
    coordinates = options.coordinates if isinstance(options, PredictOptions) else "world"
    up = options.up or world_up(recording.cameras, recording.skeleton, tracks)
    for path in paths:
        save_tracks(
            path, tracks, skeleton=recording.skeleton, fps=recording.fps,
            coordinates=coordinates, up=up, fill=options.fill, overwrite=options.overwrite,
        )  # fmt: skip
        yield f"wrote {path}"
    if not paths:
        yield f"{recording.name}: nothing was saved; --out FILE saves the 3D track"
