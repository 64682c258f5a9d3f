"""Triangulate the pixels of `robust.py` with aniposelib, in an environment that has it."""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter

import numpy as np
from aniposelib.cameras import Camera, CameraGroup
from scipy.spatial.transform import Rotation

READY = "ready"


def camera_group(scene: Mapping[str, np.ndarray]) -> CameraGroup:
    """Build the cameras of a scene."""
    poses = zip(scene["intrinsics"], scene["camera_from_world"], strict=True)
    return CameraGroup(
        [
            Camera(
                matrix=matrix,
                dist=np.zeros(5),
                rvec=Rotation.from_matrix(pose[:3, :3]).as_rotvec(),
                tvec=pose[:3, 3],
                name=str(view),
            )
            for view, (matrix, pose) in enumerate(poses)
        ]
    )


def answer_turns(solve: Callable[[], object], points: Callable[[], np.ndarray], path: str) -> None:
    """Solve once and save the points; then solve and print the seconds for every line read."""
    np.savez(path, points=points())
    solve()
    print(READY, flush=True)
    for _ in sys.stdin:
        start = perf_counter()
        solve()
        print(perf_counter() - start, flush=True)


def main() -> None:
    """Triangulate with `triangulate_ransac`."""
    request, answer = sys.argv[1:]
    scene = np.load(request)
    solve = partial(camera_group(scene).triangulate_ransac, scene["pixels"])
    answer_turns(solve, lambda: solve()[0], answer)


if __name__ == "__main__":
    main()
