"""How long does reading all of Human3.6M take, and how much memory?

Random poses are written in files of the size and layout of VideoPose3D's: five training subjects at
50 frames per second, 1,559,752 view-poses, with 32 true joints. One process reads them at 10 frames
per second. Another only unpacks the files and their pickles with NumPy, which every reader must do.
With `--dataset` a third process also builds the training data: undistorted, normalized,
triangulated.

    python benchmarks/reading.py [--frames 389938] [--dataset]
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import commit, results_folder

SUBJECTS = ("S1", "S5", "S6", "S7", "S8")
ACTIONS = 30
TRAINING_FRAMES = 1_559_752 // 4
CAMERAS = ("54138969", "55011271", "58860488", "60457274")
SYMMETRY = [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]
GIBIBYTE = 2**30

READ = """
import resource, sys, time
import numpy as np
from pathlib import Path
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.training.dataset import build_dataset
from selfsup_lifting.files import read_recordings
started, before = time.perf_counter(), time.process_time()
if sys.argv[2] == "unpack":
    for file in Path(sys.argv[1]).glob("*.npz"):
        content = np.load(file, allow_pickle=True)
        [content[name] for name in content.files]
    recordings = []
else:
    recordings = read_recordings([sys.argv[1]], ReadSettings(fps=10.0))
poses = sum(recording.keypoints.shape[0] * recording.keypoints.shape[1] for recording in recordings)
if sys.argv[2] == "dataset":
    build_dataset(recordings)
seconds, busy = time.perf_counter() - started, time.process_time() - before
print(poses, seconds, busy, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def write_files(folder: Path, frames: int) -> None:
    """Write random poses and four cameras in VideoPose3D's layout."""
    random = np.random.default_rng(0)
    each = frames // (len(SUBJECTS) * ACTIONS)
    flat: dict[str, Any] = {subject: {} for subject in SUBJECTS}
    deep: dict[str, Any] = {subject: {} for subject in SUBJECTS}
    for subject in SUBJECTS:
        for action in (f"Action {number}" for number in range(ACTIONS)):
            seen = random.normal(500, 100, (4, each, 17, 2)).astype("float32")
            flat[subject][action] = list(seen)
            deep[subject][action] = random.normal(0, 0.5, (each, 32, 3)).astype("float32")
    metadata = {"layout_name": "h36m", "num_joints": 17, "keypoints_symmetry": SYMMETRY}
    np.savez_compressed(
        folder / "data_2d_h36m_cpn_ft_h36m_dbb.npz", positions_2d=flat, metadata=metadata
    )
    np.savez_compressed(folder / "data_3d_h36m.npz", positions_3d=deep)
    (folder / "camera-parameters.json").write_text(json.dumps(cameras()))


def cameras() -> dict[str, Any]:
    """Return four cameras around a room, with lenses like those of Human3.6M."""
    from multiview_geom import ring_of_cameras

    rig = ring_of_cameras(4, 4500.0, 1500.0, target_height=900.0, dtype=torch.float64)
    lens = {"calibration_matrix": rig.intrinsics[0].tolist(), "distortion": [-0.2, 0.24, 0, 0, 0]}
    poses = {
        name: {"R": pose[:3, :3].tolist(), "t": pose[:3, 3:].tolist()}
        for name, pose in zip(CAMERAS, rig.camera_from_world, strict=True)
    }
    return {
        "intrinsics": dict.fromkeys(CAMERAS, lens),
        "extrinsics": dict.fromkeys(SUBJECTS, poses),
    }


def measured(folder: Path, what: str) -> dict[str, float]:
    """Measure one part in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-c", READ, str(folder), what]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    poses, seconds, busy, peak = done.stdout.split()[-4:]
    return {
        "view_poses": int(poses),
        "seconds": float(seconds),
        "processor_seconds": float(busy),
        "peak_bytes": int(peak),
    }


def main() -> None:
    """Write the files, measure each part, print and save."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=TRAINING_FRAMES)
    parser.add_argument("--dataset", action="store_true")
    options = parser.parse_args()
    parts = ("unpack", "read", "dataset") if options.dataset else ("unpack", "read")
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), options.frames)
        figures = {what: measured(Path(folder), what) for what in parts}
    for what, row in figures.items():
        taken = f"{row['seconds']:.1f} s, of a processor {row['processor_seconds']:.1f} s"
        peak = f"at most {row['peak_bytes'] / GIBIBYTE:.2f} GiB"
        print(f"{what:8} {row['view_poses']:7} view-poses in {taken}, {peak}")
    report = {
        "question": (__doc__ or "").splitlines()[0],
        "commit": commit(),
        "machine": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("multiview-geom", "torch", "numpy")},
        "figures": figures,
    }
    file = results_folder() / f"reading--{platform.machine()}--cpu.json"
    file.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
