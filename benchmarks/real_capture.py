"""How much do robust and refined triangulation gain on real detections and on motion capture?

A session (a folder of detections with a calibration) has no ground truth: the table shows the
reprojection error of the inliers and their share. Motion capture with a simulated rig and detector
has ground truth: the table shows the mean distance from it, over all joints that both plain DLT and
the method found.

    python benchmarks/real_capture.py --capture ../shared/data/capture-balancing \
        --mocap ../shared/data/mocap-bvh
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from selfsup_lifting.config import Method, TriangulationSettings
from selfsup_lifting.files import read_recordings
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording
from selfsup_lifting.triangulate import reconstruct, triangulate_recording

PLAIN = TriangulationSettings(method=Method.DLT)
MIN_CONFIDENCE = 0.3
"""The threshold in the README of the recording."""
THRESHOLDS_PX = (15.0, 20.0, 30.0, 40.0)


def methods(threshold_px: float) -> dict[str, TriangulationSettings]:
    """Return the methods that are compared with plain DLT."""
    return {
        f"{method.value}, {'weighted' if weighted else 'equal'}": TriangulationSettings(
            method, threshold_px, weighted
        )
        for weighted in (False, True)
        for method in Method
    }


def print_capture(folder: Path) -> None:
    """Print the median reprojection error and the inlier share of every method, per camera."""
    (recording,) = read_recordings([str(folder)], ReadSettings(min_confidence=MIN_CONFIDENCE))
    names = recording.cameras.names
    print(f"{folder.name}: median reprojection error of the inliers [px], share of inliers")
    print(f"{'':36s}" + "".join(f"{name:>18s}" for name in ["all", *names]) + "  expected error")
    for threshold_px in THRESHOLDS_PX:
        for name, settings in methods(threshold_px).items():
            if settings.method in {Method.ROBUST, Method.REFINED} or threshold_px == 15.0:
                limited = settings.method in {Method.ROBUST, Method.REFINED}
                label = f"{name}, {threshold_px:.0f} px" if limited else name
                print_row(label, recording, settings)


def print_row(label: str, recording: Recording, settings: TriangulationSettings) -> None:
    """Print one line of the capture's table."""
    found = reconstruct(recording, settings)
    rows = [found.total, *found.per_camera.values()]
    cells = [f"{row.median_px:7.2f} {100 * row.kept_share:6.1f} %" for row in rows]
    line = f"{label:36s}" + "".join(f"{cell:>18s}" for cell in cells)
    print(f"{line}{found.expected_error_mm:11.1f} mm")


def print_mocap(folder: Path) -> None:
    """Print the mean distance from the truth of every method."""
    recordings = read_recordings([f"mocap:{folder}"], ReadSettings())
    frames = sum(recording.keypoints.shape[0] for recording in recordings)
    print(f"\n{folder.name}: {len(recordings)} clips, {frames} frames, default detector noise")
    print(f"{'':36s}{'mean [mm]':>12s}{'of plain':>12s}{'found':>12s}")
    plain = errors_mm(recordings, PLAIN)
    for threshold_px in THRESHOLDS_PX:
        for name, settings in methods(threshold_px).items():
            limited = settings.method in {Method.ROBUST, Method.REFINED}
            if limited or threshold_px == THRESHOLDS_PX[0]:
                label = f"{name}, {threshold_px:.0f} px" if limited else name
                found = errors_mm(recordings, settings)
                both = found.isfinite() & plain.isfinite()
                mean, of = float(found[both].mean()), float(found[both].mean() / plain[both].mean())
                share = 100 * float(found.isfinite().double().mean())
                print(f"{label:36s}{mean:12.3f}{100 * of:10.1f} %{share:10.2f} %")


def errors_mm(recordings: list[Recording], settings: TriangulationSettings) -> Tensor:
    """Return every joint's distance from the truth [mm]."""
    errors = []
    for recording in recordings:
        if recording.truth is None:
            raise ValueError(f"{recording.name} has no truth to compare with")
        off = triangulate_recording(recording, settings).points - recording.truth
        errors.append(1000 * off.square().sum(dim=-1).sqrt().flatten())
    return torch.cat(errors)


def main() -> None:
    """Print the tables of the given data."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--capture", type=Path)
    parser.add_argument("--mocap", type=Path)
    options = parser.parse_args()
    if options.capture is not None:
        print_capture(options.capture)
    if options.mocap is not None:
        print_mocap(options.mocap)


if __name__ == "__main__":
    main()
