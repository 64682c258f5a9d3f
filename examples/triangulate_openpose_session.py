"""Triangulate a session folder: OpenPose JSON files of four cameras and a calibration.

The first part writes a small session of a simulated body; replace it with the path of your own.

    python examples/triangulate_openpose_session.py
"""

import json
import tempfile
from pathlib import Path

import torch

from multiview_geom import reprojection_error, ring_of_cameras, save_cameras
from selfsup_lifting import SKELETONS, ReadSettings, read_recordings

session = Path(tempfile.mkdtemp())
torch.manual_seed(0)

# Write the session: a calibration, and one folder of JSON files per camera.
cameras = ring_of_cameras(views=4, radius=4.0, height=1.5, dtype=torch.float64)
save_cameras(session / "calibration.toml", cameras)
joints = SKELETONS["body25"].joints
body = 0.4 * torch.randn(len(joints), 3, dtype=torch.float64)  # [m]
steps = torch.tensor([0.02, 0.0, 0.0], dtype=torch.float64) * torch.arange(20)[:, None, None]
truth = body + steps  # (frames, joints, 3): the body moves 2 cm per frame
pixels = cameras.project(truth).pixels
pixels = pixels + torch.randn_like(pixels)  # 1 px of noise
for view, name in enumerate(cameras.names):
    folder = session / f"{name}_json"
    folder.mkdir()
    for frame, keypoints in enumerate(pixels[:, view].tolist()):
        person = {"pose_keypoints_2d": [number for u, v in keypoints for number in (u, v, 0.9)]}
        path = folder / f"{name}_{frame:012d}_keypoints.json"
        path.write_text(json.dumps({"version": 1.3, "people": [person]}))

# Read it. OpenPose states neither the skeleton nor the frame rate.
settings = ReadSettings(detected_skeleton="body25", source_fps=30.0)
(recording,) = read_recordings([str(session)], settings)
print(f"{recording.name}: {recording.frame_count} frames, {recording.cameras}")

# Triangulate it, and compare with the detections and with the truth.
cameras, keypoints = recording.cameras, recording.keypoints
weights = recording.confidence.square()
points = cameras.triangulate(keypoints, weights=weights)  # (frames, joints, 3) [m]
errors = reprojection_error(cameras.projections.float(), points, keypoints)  # [px]
for view, name in enumerate(cameras.names):
    print(f"{name}: median reprojection error {errors[:, view].median():.2f} px")
print(f"mean distance from the truth {1000 * (points - truth).norm(dim=-1).mean():.1f} mm")
