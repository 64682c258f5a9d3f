"""How well do videos become shoulders? Detects people in synchronized videos and triangulates them.

There is no ground truth; the distance between the shoulders of one person should stay the same.
Needs the extra `detect`, with a version of MediaPipe that has a model, or a model file.

    python benchmarks/from_video.py ../shared/data/webcam-studio/board/cam_*.mp4 \
        --cameras ../shared/data/webcam-studio/board/camera_array.toml \
        --model pose_landmarker_heavy.task --threshold-px 100
"""

import argparse
import tempfile
from pathlib import Path

from selfsup_lifting.config import Method, TriangulationSettings
from selfsup_lifting.detection.detect import detect_people, tables_of
from selfsup_lifting.detection.mediapipe_pose import find_detector
from selfsup_lifting.detection.videos import open_videos
from selfsup_lifting.files import read_recordings
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording
from selfsup_lifting.triangulate import reconstruct

SHOULDERS = ("left_shoulder", "right_shoulder")
VIEWS, WITHIN = 3, 0.08


def main() -> None:
    """Detect, triangulate with every method, and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--cameras", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--threshold-px", type=float, default=TriangulationSettings().threshold_px)
    given = parser.parse_args()
    detector = find_detector(given.model, [], 1)
    with tempfile.TemporaryDirectory() as folder:
        detect_people(tables_of(open_videos(given.videos), Path(folder), detector), detector)
        (recording,) = read_recordings([folder], ReadSettings(cameras=given.cameras))
    cameras = len(recording.cameras.names)
    print(f"{detector.name}: {recording.frame_count} frames of {cameras} cameras")
    print_shares(recording, given.threshold_px)


def print_shares(recording: Recording, threshold_px: float) -> None:
    """Print how often both shoulders are seen, and how constant their distance is."""
    left, right = (recording.skeleton.joints.index(name) for name in SHOULDERS)
    seen = recording.keypoints[:, :, [left, right]].isfinite().flatten(2).all(dim=-1).sum(dim=1)
    share = (seen >= VIEWS).double().mean()
    print(f"both shoulders in {VIEWS} views or more: {share:.1%} of the frames")
    for method in Method:
        points = reconstruct(recording, TriangulationSettings(method, threshold_px)).points
        width = (points[:, left] - points[:, right]).norm(dim=-1)
        median = width[width.isfinite()].median()
        near = ((width / median - 1).abs() < WITHIN).double().mean()
        print(f"{method.value:10s} width {median:.3f} m; within {WITHIN:.0%}: {near:.1%} of frames")


if __name__ == "__main__":
    main()
