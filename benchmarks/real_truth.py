"""How good is a lifter on real people, judged by what did not make its labels?

Operating room (MVOR): trained on the detections of days 1 to 3 without 3D annotations, tested on
day 4 against the 3D annotations of people: shoulders, elbows and wrists. Sessions of four or more
cameras (webcam-studio, capture-balancing, or your own, such as Shelf or Campus): two cameras that
are neighbors in the list make the labels of the first two thirds of the frames; in the last third,
each of them is lifted alone, and compared with the triangulation of the cameras that made no label.
The recipes are those of the simulation.

    python benchmarks/real_truth.py ../shared/data --seeds 3 --out runs/real.jsonl
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from operating_room import one_person, rig
from torch import Tensor

from multiview_geom import transform_points
from selfsup_lifting.config import Config, Method, TriangulationSettings
from selfsup_lifting.evaluation.metrics import joint_errors, procrustes_aligned
from selfsup_lifting.files import read_recordings
from selfsup_lifting.inference import lift
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recipes import PRESETS, RECIPES
from selfsup_lifting.recording import Recording
from selfsup_lifting.training.dataset import usable_frames
from selfsup_lifting.training.loop import train
from selfsup_lifting.triangulate import triangulate_recording

TRAINED_SHARE = 2 / 3
LAST_DAY = 4
# The joints that the detector and the annotators of MVOR place alike.
JUDGED = tuple(
    f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist") for side in ("left", "right")
)
# A pose is judged where so many joints have a truth: fewer fit any shape.
FEWEST_JOINTS = 4
ROBUST = TriangulationSettings(method=Method.ROBUST)


@dataclass(frozen=True)
class Trial:
    """One training and its test.

    Attributes:
        name: The data and the cameras that make the labels.
        training: What is learned from; it has no truth.
        test: The views that are lifted.
        truth: The joints in the world [m]; NaN where unknown.
        joints: The joints that are judged.
    """

    name: str
    training: Recording
    test: Recording
    truth: Tensor
    joints: tuple[int, ...]


def operating_room(folder: Path) -> Iterator[Trial]:
    """Train on days 1 to 3, test on day 4."""
    with np.load(folder / "matched.npz") as file:
        matched = {name: torch.from_numpy(file[name]) for name in file.files if name != "joints"}
    cameras = rig(json.loads((folder / "annotations.json").read_text()))
    keypoints = torch.cat([matched["keypoints"], matched["confidence"][..., None]], dim=-1)
    last = matched["day"] == LAST_DAY
    training, test = (one_person(cameras, keypoints[part]) for part in (~last, last))
    joints = tuple(training.skeleton.joints.index(name) for name in JUDGED)
    truth = matched["truth"][last].double()[: test.frame_count]
    yield Trial(folder.name, training, test, truth, joints)


def session(recording: Recording) -> Iterator[Trial]:
    """Let two neighboring cameras make the labels, and the others judge."""
    first = round(TRAINED_SHARE * recording.frame_count)
    early, late = recording.frames(slice(None, first)), recording.frames(slice(first, None))
    for pair in pairwise(recording.cameras.names):
        judges = [name for name in recording.cameras.names if name not in pair]
        truth = triangulate_recording(late.select_views(judges), ROBUST).points
        name = f"{recording.name}: {'+'.join(pair)}"
        joints = tuple(range(len(recording.skeleton.joints)))
        training = early.select_views(pair)
        if len(usable_frames([training])) == 0:
            print(f"{name} is left out: in no frame both cameras see the root")
            continue
        yield Trial(name, training, late.select_views(pair), truth, joints)


def sessions(data: Path) -> Iterator[Trial]:
    """Read the sessions of the data folder."""
    scene = data / "capture-balancing" / "calibration-scene" / "Calib_scene.toml"
    kinds = {
        data / "webcam-studio" / "recording": ReadSettings(skeleton="coco17"),
        data / "capture-balancing": ReadSettings(cameras=scene, unit="m"),
    }
    for folder, settings in kinds.items():
        if folder.is_dir():
            (recording,) = read_recordings([str(folder)], settings)
            name = folder.relative_to(data).parts[0]
            yield from session(replace(recording, name=name))


def errors(trial: Trial, config: Config) -> dict[str, float]:
    """Train, and return the mean errors of single views [mm]."""
    with tempfile.TemporaryDirectory() as home:
        lifter = train(config, [trial.training.without_truth()], Path(home) / "run")
    cameras = trial.test.cameras
    predicted = lift(lifter, cameras, trial.test.keypoints, trial.test.confidence)
    truth = torch.stack(
        [transform_points(pose, trial.truth) for pose in cameras.camera_from_world], dim=1
    ).float()
    predicted, truth = predicted[:, :, trial.joints], truth[:, :, trial.joints]
    known = truth.isfinite().all(dim=-1) & predicted.isfinite().all(dim=-1)
    judged = known.sum(dim=-1) >= FEWEST_JOINTS
    predicted, truth, known = predicted[judged], truth[judged], known[judged]
    # Both are moved to the mean of the known joints: the detector's root is not the truth's.
    blank = torch.where(known[..., None], 0.0, torch.nan)
    centered = [
        one - (one + blank).nanmean(dim=-2, keepdim=True) for one in (predicted, truth + blank)
    ]
    aligned = joint_errors(procrustes_aligned(predicted, truth + blank), truth)
    return {
        "p_mpjpe_mm": float(aligned.nanmean()),
        "mpjpe_mm": float(joint_errors(*centered).nanmean()),
        "poses": int(judged.sum()),
    }


def main() -> None:
    """Train and judge every recipe with every seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--session", nargs="*", default=[], help="other sessions to read")
    parser.add_argument("--recipes", nargs="+", default=["paper", "robust"], choices=RECIPES)
    parser.add_argument("--preset", default="demo", choices=PRESETS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.touch()
    trials = [*operating_room(options.data / "operating-room"), *sessions(options.data)]
    for path in options.session:
        for recording in read_recordings([path], ReadSettings()):
            trials += session(recording)
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for trial in trials:
            for recipe in options.recipes:
                key = {"data": trial.name, "recipe": recipe, "seed": seed, "preset": options.preset}
                done = map(json.loads, options.out.read_text().splitlines())
                if any(key == {name: row[name] for name in key} for row in done):
                    continue
                config = RECIPES[recipe](replace(PRESETS[options.preset](Config()), seed=seed))
                row = {**key, **errors(trial, config)}
                with options.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(row, flush=True)


if __name__ == "__main__":
    main()
