"""Calibrate the rigs of `calibration.py` with aniposelib-pytorch, in an environment that has it.

Its recipe from points gets the true intrinsics and lenses, and the frame of each point.
"""

import sys
from time import process_time

import numpy as np
import torch
from aniposelib.init import calibrate_from_points


def main() -> None:
    """Calibrate one rig; save the poses of the cameras that were placed, and the seconds."""
    request, answer = sys.argv[1:]
    scene = np.load(request)
    torch.set_num_threads(int(scene["threads"]))
    views = len(scene["intrinsics"])
    names = [str(view) for view in range(views)]
    lenses = {
        name: {"matrix": K, "dist": k}
        for name, K, k in zip(names, scene["intrinsics"], scene["distortion"], strict=True)
    }
    poses = np.full((views, 4, 4), np.nan)
    start = process_time()
    try:
        group, _ = calibrate_from_points(
            scene["pixels"], names, scene["image_size"].tolist(), lenses,
            frame_id=scene["frames"], rng=0, report=False,
        )  # fmt: skip
    except Exception as error:  # a rig that it cannot calibrate is a result
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    else:
        for camera in group.cameras:
            poses[int(camera.get_name())] = np.asarray(camera.get_extrinsics_mat().detach())
    np.savez(answer, camera_from_world=poses, seconds=process_time() - start)


if __name__ == "__main__":
    main()
