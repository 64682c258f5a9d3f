"""What limits a lifter: its labels, its input, or the motions in its training data?

Evaluates every training of an ablation on the held-out recordings and on the training recordings,
simulated again with other noise: on all poses, on poses with all joints visible, and on these
without noise.

    python benchmarks/reach.py runs/ablation --data mocap:clips/ --out reach.json
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean

import torch

from selfsup_lifting.config import Config
from selfsup_lifting.config_toml import load_config
from selfsup_lifting.evaluation.evaluate import evaluate_lifter
from selfsup_lifting.evaluation.published_tables import split_for
from selfsup_lifting.files import read_recordings
from selfsup_lifting.recording import Recording
from selfsup_lifting.simulation_settings import NoiseSettings
from selfsup_lifting.training.checkpoint import load_lifter

NOISELESS = NoiseSettings(jitter_px=0.0, bias_px=0.0, outlier_share=0.0)


def simulated_again(config: Config, data: Sequence[str]) -> Mapping[str, Sequence[Recording]]:
    """Simulate the recordings again, with noise and without."""
    anew = replace(config.read, simulation_seed=config.read.simulation_seed + 1)
    clean = replace(config.read, noise=NOISELESS)
    again, exact = (
        split_for(replace(config, data=tuple(data)), read_recordings(data, read))
        for read in (anew, clean)
    )
    return {
        "held out": again.held_out,
        "held out, whole bodies": [whole_bodies(recording) for recording in again.held_out],
        "held out, whole bodies, no noise": [
            whole_bodies(recording) for recording in exact.held_out
        ],
        "training": again.training,
        "training, whole bodies": [whole_bodies(recording) for recording in again.training],
    }


def whole_bodies(recording: Recording) -> Recording:
    """Remove the detections of every view in the frames in which it misses a joint."""
    seen = recording.keypoints.isfinite().all(dim=-1).all(dim=-1)
    keypoints = torch.where(seen[..., None, None], recording.keypoints, torch.nan)
    return replace(recording, keypoints=keypoints)


def mean_errors(
    variant: Path, parts: Mapping[str, Sequence[Recording]]
) -> dict[str, dict[str, float]]:
    """Return the mean errors of all seeds of a variant on each part."""
    lifters = [load_lifter(run) for run in sorted(variant.glob("seed-*"))]
    errors = {}
    for name, recordings in parts.items():
        totals = [evaluate_lifter(lifter, recordings).total for lifter in lifters]
        errors[name] = {
            "p_mpjpe_mm": mean(total.p_mpjpe_mm for total in totals),
            "mpjpe_mm": mean(total.mpjpe_mm for total in totals),
        }
    return errors


def main() -> None:
    """Evaluate, print and save."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=Path)
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    variants = sorted(path for path in options.runs.iterdir() if any(path.glob("seed-*")))
    parts = simulated_again(load_config(next(variants[0].glob("seed-*"))), options.data)
    rows = {variant.name: mean_errors(variant, parts) for variant in variants}
    for name, row in rows.items():
        for part, errors in row.items():
            print(f"{name:25} {part:27} {errors['p_mpjpe_mm']:6.1f} {errors['mpjpe_mm']:6.1f} mm")
    if options.out is not None:
        report = {"question": (__doc__ or "").splitlines()[0], "rows": rows}
        options.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
