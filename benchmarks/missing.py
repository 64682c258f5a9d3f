"""How much do missing detections increase the error, in prediction and in training?

First, a lifter trained with the recipe `robust` lifts single views of new recordings of people,
complete and with three of the 17 joints hidden at random in every frame. Second, the same recipe
trains on a dog with 15 joints and four cameras, with all detections and with a quarter missing,
scattered or in runs, and is evaluated on new recordings of the same kind.

    python benchmarks/missing.py [--threads 2] [--quick]
"""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from findings import Table, keep
from measure import suite

from selfsup_lifting.config import Config
from selfsup_lifting.evaluation.evaluate import Evaluation, evaluate_lifter
from selfsup_lifting.files import read_recordings
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recipes import demo, robust
from selfsup_lifting.recording import Recording
from selfsup_lifting.skeleton.skeleton_file import load_skeleton
from selfsup_lifting.training.loop import train
from selfsup_lifting.training.splits import hold_out

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.selfsup_lifting.files.quadruped import TOML, take

HIDDEN = 3
DOGS, KEPT_DOGS = 8, 2
MISSING = 0.25
# Typical length of a gap [frames].
RUNS = {"scattered": 1.0, "in runs of 3 frames": 3.0, "in runs of 10 frames": 10.0}
COLUMNS = ("P-MPJPE [mm]", "MPJPE [mm]", "times whole", "without a pose")


def lift_with_hidden_joints(config: Config, folder: Path) -> Table:
    """Evaluate a lifter, trained with complete poses, on poses with hidden joints."""
    split = hold_out(read_recordings((), config.read))
    lifter = train(config, split.training, folder)
    table = Table("a person, lifted from one view", COLUMNS)
    kept = split.held_out
    whole = evaluate_lifter(lifter, kept)
    add(table, "every joint", whole, whole)
    add(table, f"{HIDDEN} of 17 hidden", evaluate_lifter(lifter, hidden(kept)), whole)
    return table


def hidden(recordings: Sequence[Recording]) -> list[Recording]:
    """Hide some joints at random in every frame of every view."""
    seed = torch.Generator().manual_seed(0)
    found = []
    for one in recordings:
        order = torch.rand(one.keypoints.shape[:-1], generator=seed).argsort(dim=-1)
        gone = order < HIDDEN
        keypoints = one.keypoints.masked_fill(gone[..., None], torch.nan)
        found.append(replace(one, keypoints=keypoints, confidence=one.confidence * ~gone))
    return found


def train_with_missing_detections(config: Config, folder: Path) -> Table:
    """Train on an animal with a quarter of the detections missing."""
    (folder / "dog15.toml").write_text(TOML)
    dog = load_skeleton(folder / "dog15.toml")
    table = Table("a dog, learned from four views", COLUMNS)
    whole = None
    for name, (share, run) in {
        "every detection": (0.0, 1.0),
        **{f"{MISSING:.0%} missing, {name}": (MISSING, run) for name, run in RUNS.items()},
    }.items():
        recordings = [take(dog, number, missing=share, run=run) for number in range(DOGS)]
        recordings = [one.with_gaps_filled(config.read.fill_gaps) for one in recordings]
        lifter = train(config, recordings[:-KEPT_DOGS], folder / name)
        found = evaluate_lifter(lifter, recordings[-KEPT_DOGS:])
        whole = whole or found
        add(table, name, found, whole)
    return table


def add(table: Table, name: str, found: Evaluation, whole: Evaluation) -> None:
    """Add a row to the table."""
    errors = found.total
    times = errors.p_mpjpe_mm / whole.total.p_mpjpe_mm
    table.rows[name] = [errors.p_mpjpe_mm, errors.mpjpe_mm, times, found.blind]


def main() -> None:
    """Print and save both tables."""
    asked = suite("missing")
    config = robust(demo(Config(read=ReadSettings())))
    if asked.quick:
        config = replace(config, steps=20)
    with tempfile.TemporaryDirectory() as name:
        tables = [
            lift_with_hidden_joints(config, Path(name) / "people"),
            train_with_missing_detections(config, Path(name)),
        ]
    for table in tables:
        table.show()
    if not asked.quick:
        keep("missing", tables)


if __name__ == "__main__":
    main()
