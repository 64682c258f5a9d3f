"""Write calibrations with the tools themselves, and where each camera sees some points.

Run where aniposelib and pycolmap are installed, which the project does not need:

    python tests/multiview_geom/written_by_peers/write.py
"""

import json
from pathlib import Path

import numpy as np
import pycolmap
from aniposelib.cameras import Camera, CameraGroup, FisheyeCamera

HERE = Path(__file__).parent
POINTS = np.array([[0.1, -0.2, 0.3], [0.0, 0.0, 0.0], [-0.5, 0.4, 0.2]])
COLMAP_MODELS = {
    "SIMPLE_PINHOLE": [1000.1, 960.5, 540.5],
    "PINHOLE": [1000.1, 1000.2, 960.5, 540.5],
    "SIMPLE_RADIAL": [1000.1, 960.5, 540.5, 0.01],
    "RADIAL": [1000.1, 960.5, 540.5, 0.01, 0.02],
    "OPENCV": [1000.1, 1000.2, 960.5, 540.5, -0.1, 0.02, 1e-3, -1e-3],
    "FULL_OPENCV": [1000.1, 1000.2, 960.5, 540.5, -0.1, 0.02, 1e-3, -1e-3, 0.01, 0.02, 0.03, 0.04],
}


def drawn_pose(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a rotation vector, and a place some metres in front."""
    random = np.random.default_rng(seed)
    return random.normal(size=3), 0.1 * random.normal(size=3) + [0.0, 0.0, 5.0]


def write_aniposelib(
    name: str, kind: type[Camera], size: tuple[int, int], lens: list[float]
) -> None:
    """Write twelve cameras, and what they see."""
    cameras = []
    for index in range(12):
        turn, place = drawn_pose(index)
        matrix = np.array(
            [[1000 + index / 7, 0, size[0] / 2], [0, 1001 - index / 3, size[1] / 2], [0, 0, 1]]
        )
        dist = np.array(lens) * (1 + index / 30)
        cameras.append(
            kind(
                name=f"view {index + 1}", size=size, matrix=matrix, dist=dist, rvec=turn, tvec=place
            )
        )
    CameraGroup(cameras).dump(str(HERE / f"{name}.toml"))
    seen = {camera.name: camera.project(POINTS).reshape(-1, 2).tolist() for camera in cameras}
    keep(name, seen)


def write_colmap() -> None:
    """Write one camera and one image of every model, and what it sees."""
    rig = pycolmap.Reconstruction()
    seen = {}
    for index, (model, parameters) in enumerate(COLMAP_MODELS.items(), start=1):
        camera = pycolmap.Camera(
            model=model, width=1920, height=1080, params=parameters, camera_id=index
        )
        rig.add_camera_with_trivial_rig(camera)
        turn, place = drawn_pose(index)
        angle = np.linalg.norm(turn)
        quaternion = np.append(np.sin(angle / 2) * turn / angle, np.cos(angle / 2))
        pose = pycolmap.Rigid3d(pycolmap.Rotation3d(quaternion), place)
        image = pycolmap.Image(name=f"view {index}.png", camera_id=index, image_id=index)
        dots = [pycolmap.Point2D(np.array([10.0 * index, 20.0]))] if index % 2 else []
        image.points2D = pycolmap.Point2DList(dots)
        rig.add_image_with_trivial_frame(image, pose)
        seen[image.name] = [camera.img_from_cam(pose * point).tolist() for point in POINTS]
    for name, write in (("colmap", rig.write_text), ("colmap_binary", rig.write_binary)):
        folder = HERE / name
        folder.mkdir(exist_ok=True)
        write(str(folder))
        for unused in folder.iterdir():
            if unused.stem not in {"cameras", "images"}:
                unused.unlink()
        keep(name, seen)


def keep(name: str, seen: dict[str, list[list[float]]]) -> None:
    """Write the points and where each camera sees them."""
    record = {"points": POINTS.tolist(), "pixels": seen}
    (HERE / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    write_aniposelib("aniposelib", Camera, (1920, 1080), [-0.2, 0.1, 1e-3, -2e-3, 0.02])
    write_aniposelib("aniposelib_fisheye", FisheyeCamera, (640, 480), [0.1, 0.01, -0.01, 1e-3])
    write_colmap()
