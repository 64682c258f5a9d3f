"""Train a lifter without 3D labels, then predict 3D poses from one camera.

The recordings are synthetic: a moving stick figure, four cameras and a simulated 2D detector. Their
ground truth is used for the evaluation only. The network and the training are tiny; for a useful
lifter run `selfsup-lifting train`.

    python examples/train_and_lift.py
"""

import tempfile
from dataclasses import replace
from pathlib import Path

from selfsup_lifting import (
    Config,
    ReadSettings,
    evaluate_lifter,
    lift,
    load_lifter,
    read_recordings,
    train,
)

run = Path(tempfile.mkdtemp()) / "run"
recordings = read_recordings(["synthetic"], ReadSettings())
training, held_out = recordings[:-1], recordings[-1]
print(f"{len(training)} recordings for training, {held_out.name} for evaluation")

config = Config(steps=100, frames_per_batch=64)
config = replace(config, lifter=replace(config.lifter, width=128, blocks=1, dropout=0.1))
train(config, [recording.without_truth() for recording in training], run)

lifter = load_lifter(run)
errors = evaluate_lifter(lifter, [held_out]).total
print(f"MPJPE {errors.mpjpe_mm:.0f} mm, P-MPJPE {errors.p_mpjpe_mm:.0f} mm")

# From now on one camera is enough.
single = held_out.select_views(["cam_2"])
poses = lift(lifter, single.cameras, single.keypoints)  # (frames, 1, joints, 3), root-relative [m]
head = held_out.skeleton.joints.index("head_top")
x, y, z = poses[0, 0, head].tolist()
print(f"In frame 0 the top of the head is at ({x:.2f}, {y:.2f}, {z:.2f}) m from the pelvis,")
print("in the axes of cam_2: x right, y down, z forward.")
