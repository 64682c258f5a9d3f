"""Triangulate the pixels of `robust.py` with aniposelib, in an environment that has it."""

import json
import sys
from time import perf_counter

import numpy as np
from aniposelib.cameras import Camera, CameraGroup
from scipy.spatial.transform import Rotation


def main() -> None:
    """Read projections and pixels, triangulate with `triangulate_ransac`, print the seconds."""
    request, answer = sys.argv[1:]
    scene = np.load(request)
    cameras = [
        Camera(
            matrix=matrix,
            dist=np.zeros(5),
            rvec=Rotation.from_matrix(pose[:3, :3]).as_rotvec(),
            tvec=pose[:3, 3],
            name=str(view),
        )
        for view, (matrix, pose) in enumerate(
            zip(scene["intrinsics"], scene["camera_from_world"], strict=True)
        )
    ]
    group = CameraGroup(cameras)
    pixels = scene["pixels"]
    group.triangulate_ransac(pixels[:, :2])
    start = perf_counter()
    points = group.triangulate_ransac(pixels)[0]
    seconds = perf_counter() - start
    np.savez(answer, points=points)
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
