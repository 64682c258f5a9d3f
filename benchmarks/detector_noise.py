"""Do the errors of the simulated detector look like those of real ones?

Every recording is triangulated from all views, and each detection is compared with the projection
of its point, in percent of the diagonal of the body in the image. The same is measured on the
simulated levels of noise: 4 cameras on a ring, motion capture if given, else stick figures.

    python benchmarks/detector_noise.py ../shared/data --out noise.json
"""

import argparse
import json
from math import isfinite
from pathlib import Path

import numpy as np
import torch
from operating_room import one_person, rig
from scipy.stats import spearmanr
from torch import Tensor

from selfsup_lifting.config import Method, TriangulationSettings
from selfsup_lifting.files import read_recordings
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording
from selfsup_lifting.simulation_settings import NOISE_LEVELS
from selfsup_lifting.triangulate import triangulate_recording

ROBUST = TriangulationSettings(method=Method.ROBUST, weighted=True)
COLUMNS = (
    "median error [%]", "p90 / median", "p99 / median", "worst / best joint", "frame to frame",
    "constant part", "confidence", "missing [%]",
)  # fmt: skip


def errors(recording: Recording) -> tuple[Tensor, Tensor]:
    """Return each detection's deviation, relative to the body, and each body's size [px]."""
    points = triangulate_recording(recording, ROBUST).points
    projected = recording.cameras.project(points.flatten(0, 1)).pixels
    projected = projected.unflatten(1, points.shape[:2]).transpose(0, 1)
    known = projected.isfinite()
    low = torch.where(known, projected, torch.inf).amin(dim=2)
    high = torch.where(known, projected, -torch.inf).amax(dim=2)
    diagonal = (high - low).norm(dim=-1)
    return (recording.keypoints - projected) / diagonal[..., None, None], diagonal


def statistics(recordings: list[Recording]) -> list[float]:
    """Return the numbers of `COLUMNS`."""
    deviations = [errors(one)[0] for one in recordings]
    whole = torch.cat([one.reshape(-1, one.shape[2], 2) for one in deviations])
    size = whole.norm(dim=-1)
    known = size.isfinite()
    median, p90, p99 = np.quantile(size[known], (0.5, 0.9, 0.99))
    joints = [float(one[one.isfinite()].median()) for one in size.unbind(dim=1)]
    joints = [one for one in joints if isfinite(one)]
    pairs = [(one[:-1].reshape(-1), one[1:].reshape(-1)) for one in deviations if len(one) > 1]
    before, after = (torch.cat(part) for part in zip(*pairs, strict=True))
    both = before.isfinite() & after.isfinite() & (before.abs() < 5 * median)
    both &= after.abs() < 5 * median
    constant = torch.cat([one.nanmedian(dim=0).values.reshape(-1, 2) for one in deviations])
    constant = constant[constant.isfinite().all(dim=-1)].norm(dim=-1)
    confidence = torch.cat(
        [one.confidence.reshape(-1, one.confidence.shape[2]) for one in recordings]
    )
    trusted = confidence[known]
    varies = float(trusted.std()) > 0
    rank = -float(spearmanr(trusted, size[known]).statistic) if varies else float("nan")
    seen = torch.cat([one.keypoints.isfinite().all(dim=-1).flatten() for one in recordings])
    return [
        100 * median, p90 / median, p99 / median, max(joints) / min(joints),
        float(torch.corrcoef(torch.stack([before[both], after[both]]))[0, 1]),
        float(constant.median() / median), rank, 100 * float(1 - seen.float().mean()),
    ]  # fmt: skip


def real(data: Path) -> dict[str, list[Recording]]:
    """Read the real captures."""
    balancing, studio = data / "capture-balancing", data / "webcam-studio" / "recording"
    scene = balancing / "calibration-scene" / "Calib_scene.toml"
    with np.load(data / "operating-room" / "matched.npz") as file:
        matched = {name: torch.from_numpy(file[name]) for name in ("keypoints", "confidence")}
    annotations = json.loads((data / "operating-room" / "annotations.json").read_text())
    keypoints = torch.cat([matched["keypoints"], matched["confidence"][..., None]], dim=-1)
    return {
        "capture-balancing (OpenPose)": read_recordings(
            [str(balancing)], ReadSettings(cameras=scene)
        ),
        "webcam-studio (MediaPipe)": read_recordings([str(studio)], ReadSettings()),
        "operating-room (OpenPose)": [one_person(rig(annotations), keypoints)],
    }


def simulated(data: str) -> dict[str, list[Recording]]:
    """Simulate every level of noise."""
    return {
        name: read_recordings([data], ReadSettings(noise=noise, fps=30.0))
        for name, noise in NOISE_LEVELS.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = {}
    for part in (real(options.data), simulated(f"mocap:{options.data / 'mocap-bvh'}")):
        for name, recordings in part.items():
            rows[name] = statistics(recordings)
            print(f"{name:32s}" + "".join(f"{number:10.2f}" for number in rows[name]), flush=True)
    if options.out is not None:
        options.out.write_text(json.dumps({"columns": COLUMNS, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
