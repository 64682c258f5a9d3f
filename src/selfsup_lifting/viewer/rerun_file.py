"""Write a scene as a recording of Rerun (.rrd), with the library rerun-sdk.

The world has z up and meters. `world/NAME` is a skeleton; `world/cameras/NAME` a camera with its
detections, without lens distortion, so that they lie on the rays. Bones and joints that are not
known in a frame are left out of it.
"""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from multiview_geom import Cameras
from selfsup_lifting.atomic_write import replacing
from selfsup_lifting.plots.colors import BONE_COLORS, body_color, series_color
from selfsup_lifting.plots.poses import bone_ends, drawn_bones
from selfsup_lifting.plots.rig import image_sizes
from selfsup_lifting.skeleton.skeletons import Skeleton
from selfsup_lifting.upright import z_up
from selfsup_lifting.viewer.scene import Scene

FRAME, TIME = "frame", "time"
# A camera's picture is drawn so far from its center, as a share of the size of the subject.
PLANE_SHARE = 0.3


class Bones(NamedTuple):
    """The known bones of a frame, with a color each, and the known joints."""

    strips: NDArray[np.float64]
    colors: list[tuple[int, int, int]]
    joints: NDArray[np.float64]


def require_rerun(path: Path) -> None:
    """Refuse a file that cannot be written because the library is not installed."""
    if find_spec("rerun") is None:
        raise ValueError(
            f"{path}: .rrd files need the library rerun: pip install 'multiview-geom[rerun]'"
        )


def save_rerun(path: Path, scene: Scene, *, done: Callable[[], None] = lambda: None) -> None:
    """Write a scene for the viewer of Rerun, which shows it with `rerun FILE`.

    Args:
        path: The file, `.rrd`; an existing file is replaced.
        scene: What to show.
        done: Called at the end.

    Raises:
        ValueError: If the library is not installed.
    """
    require_rerun(path)
    import rerun

    with replacing(path) as temporary:
        recording = rerun.RecordingStream("selfsup_lifting", send_properties=False)
        recording.save(temporary)
        recording.log("world", rerun.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        if scene.cameras is not None:
            _log_cameras(recording, rerun, scene, scene.cameras)
        for frame in range(scene.frame_count):
            recording.set_time(FRAME, sequence=frame + scene.first)
            recording.set_time(TIME, duration=(frame + scene.first) / scene.fps)
            _log_frame(recording, rerun, scene, frame)
        recording.flush()
        recording.disconnect()
    done()


def _log_cameras(recording: Any, rerun: Any, scene: Scene, cameras: Cameras) -> None:  # noqa: ANN401 - untyped library
    """Log the pose, the lens and the image size of every camera."""
    low, high = scene.box()
    to_world = cameras.camera_from_world[:, :3, :3].mT.double()
    columns = z_up(to_world.mT, scene.up).mT
    centers, sizes = z_up(cameras.centers.double(), scene.up), image_sizes(cameras)
    for view, name in enumerate(cameras.names):
        recording.log(
            ["world", "cameras", name],
            rerun.Transform3D(translation=centers[view].numpy(), mat3x3=columns[view].numpy()),
            rerun.Pinhole(
                image_from_camera=cameras.intrinsics[view].double().numpy(),
                resolution=sizes[view].tolist(),
                image_plane_distance=PLANE_SHARE * float((high - low).norm()),
                color=_rgb(series_color(view)),
            ),
            static=True,
        )


def _log_frame(recording: Any, rerun: Any, scene: Scene, frame: int) -> None:  # noqa: ANN401 - untyped library
    """Log the skeletons of a frame, and the detections in every camera."""
    for number, body in enumerate(scene.bodies):
        points = z_up(body.points[frame].double(), scene.up)
        bones = _bones(points, body.skeleton, body_color(number))
        place = ["world", body.name]
        recording.log([*place, "bones"], rerun.LineStrips3D(bones.strips, colors=bones.colors))
        recording.log([*place, "joints"], rerun.Points3D(bones.joints))
    for name, person, keypoints, skeleton in _detections(scene, frame):
        bones = _bones(keypoints, skeleton, None)
        recording.log(
            ["world", "cameras", name, person],
            rerun.LineStrips2D(bones.strips, colors=bones.colors),
        )


def _detections(
    scene: Scene, frame: int
) -> Iterator[tuple[str, str, Float[Tensor, "joints 2"], Skeleton]]:
    for number, one in enumerate(scene.recordings):
        ideal = one.cameras.undistort(one.keypoints[frame].double()).pixels
        for view, name in enumerate(one.cameras.names):
            yield name, f"person {number + 1}", ideal[view], one.skeleton


def _bones(points: Float[Tensor, "joints d"], skeleton: Skeleton, color: str | None) -> Bones:
    known = points.isfinite().all(dim=-1)
    bones = [bone for bone in drawn_bones(skeleton) if bool(known[list(bone[:3])].all())]
    ends = bone_ends(points, bones)
    colors = [_rgb(color or BONE_COLORS[bone.side]) for bone in bones]
    return Bones(ends.cpu().numpy(), colors, points[known].cpu().numpy())


def _rgb(color: str) -> tuple[int, int, int]:
    """Return red, green and blue, 0 to 255."""
    from matplotlib.colors import to_rgb

    red, green, blue = (round(255 * part) for part in to_rgb(color))
    return red, green, blue
