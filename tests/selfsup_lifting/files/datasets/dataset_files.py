"""Files of datasets in their own layouts; what writes them shares no code with the readers."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat
from scipy.spatial.transform import Rotation

from selfsup_lifting.files import read_recordings
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording

Array = NDArray[Any]
H36M_CAMERAS = ("54138969", "55011271", "58860488", "60457274")
H36M_SYMMETRY = [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]
EVA_SYMMETRY = [[2, 3, 4, 8, 9, 10], [5, 6, 7, 11, 12, 13]]
COCO_SYMMETRY = [[1, 3, 5, 7, 9, 11, 13, 15], [2, 4, 6, 8, 10, 12, 14, 16]]
# Which of the 32 captured joints are Human3.6M's 17.
H36M_17 = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
TAGS_17 = [7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6]


@dataclass(frozen=True)
class Eye:
    """A camera: R and T with X_camera = R X + T [mm], focal lengths, centre, k1 k2 p1 p2 k3."""

    R: Array
    T: Array
    f: Array
    c: Array
    k: Array

    def project(self, points: Array) -> Array:
        """Project world points [mm] with Brown's lens."""
        camera = points @ self.R.T + self.T
        x, y = camera[..., 0] / camera[..., 2], camera[..., 1] / camera[..., 2]
        r2 = x**2 + y**2
        k1, k2, p1, p2, k3 = self.k
        radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
        u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x**2)
        v = y * radial + p1 * (r2 + 2 * y**2) + 2 * p2 * x * y
        return np.stack([self.f[0] * u + self.c[0], self.f[1] * v + self.c[1]], axis=-1)


def eyes(count: int, seed: int, *, lens: bool = True, size: int = 1000) -> list[Eye]:
    """Set cameras around the origin, looking at a point a metre above it."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        angle = 2 * np.pi * (number + 0.3 * random.random()) / count
        centre = np.array([4500 * np.cos(angle), 4500 * np.sin(angle), 1500.0])
        forward = np.array([0, 0, 1000.0]) - centre
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0, 0, 1.0])
        right /= np.linalg.norm(right)
        R = np.stack([right, np.cross(forward, right), forward])
        k = np.array([-0.2, 0.24, -0.001, 0.002, -0.003]) if lens else np.zeros(5)
        f = np.array([1.145, 1.144]) * size
        made.append(Eye(R, -R @ centre, f, np.array([0.512, 0.508]) * size, k))
    return made


def bodies(frames: int, joints: int, seed: int) -> Array:
    """Let joints wander about the middle of the room [mm]."""
    random = np.random.default_rng(seed)
    steps = np.cumsum(random.normal(0, 8, (frames, joints, 3)), axis=0)
    return random.normal(0, 300, (1, joints, 3)) + steps + np.array([0, 0, 1000.0])


@dataclass(frozen=True)
class Human36M:
    """A small Human3.6M."""

    subjects: tuple[str, ...] = ("S1", "S9", "S11")
    actions: tuple[str, ...] = ("Directions 1", "Walking", "TakingPhoto 1")
    frames: int = 60
    longer: int = 3
    detector: str = "cpn_ft_h36m_dbb"
    noise_px: float = 0.0

    def eyes(self, subject: str) -> list[Eye]:
        return eyes(4, int(subject[1:]))

    def world(self, subject: str, action: str) -> Array:
        return bodies(self.frames, 32, len(action) + 7 * int(subject[1:]))

    def write(self, folder: Path, cameras: str = "json", *, truth: bool = True) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(5)
        flat: dict[str, Any] = {subject: {} for subject in self.subjects}
        deep: dict[str, Any] = {subject: {} for subject in self.subjects}
        for subject in self.subjects:
            for action in self.actions:
                world = self.world(subject, action)
                longer = np.concatenate([world, np.repeat(world[-1:], self.longer, axis=0)])
                seen = [eye.project(longer[:, H36M_17]) for eye in self.eyes(subject)]
                noisy = [one + self.noise_px * random.normal(size=one.shape) for one in seen]
                flat[subject][action] = [one.astype("float32") for one in noisy]
                deep[subject][action] = (world / 1000).astype("float32")
        metadata = {"layout_name": "h36m", "num_joints": 17, "keypoints_symmetry": H36M_SYMMETRY}
        save_2d(folder / f"data_2d_h36m_{self.detector}.npz", flat, metadata)
        if truth:
            np.savez_compressed(folder / "data_3d_h36m.npz", positions_3d=deep)
        getattr(self, f"write_{cameras}")(folder)
        return folder

    def write_json(self, folder: Path) -> None:
        lenses, poses = {}, {}
        for name, eye in zip(H36M_CAMERAS, self.eyes("S1"), strict=True):
            K = [[eye.f[0], 0, eye.c[0]], [0, eye.f[1], eye.c[1]], [0, 0, 1]]
            lenses[name] = {"calibration_matrix": K, "distortion": list(eye.k)}
        for subject in self.subjects:
            poses[subject] = {
                name: {"R": eye.R.tolist(), "t": eye.T[:, None].tolist()}
                for name, eye in zip(H36M_CAMERAS, self.eyes(subject), strict=True)
            }
        tree = {"intrinsics": lenses, "extrinsics": poses}
        (folder / "camera-parameters.json").write_text(json.dumps(tree))

    def write_h5(self, folder: Path) -> None:
        with h5py.File(folder / "cameras.h5", "w") as file:
            for subject in self.subjects:
                for number, eye in enumerate(self.eyes(subject)):
                    group = file.create_group(f"subject{subject[1:]}/camera{number + 1}")
                    k1, k2, p1, p2, k3 = eye.k
                    group["R"], group["T"] = eye.R.T, (-eye.R.T @ eye.T)[:, None]
                    group["f"], group["c"] = eye.f[:, None], eye.c[:, None]
                    group["k"], group["p"] = np.array([[k1], [k2], [k3]]), np.array([[p1], [p2]])
                    group["Name"] = np.array([[ord(letter)] for letter in H36M_CAMERAS[number]])

    def write_python(self, folder: Path) -> None:
        lenses = []
        for number, eye in enumerate(self.eyes("S1")):
            k1, k2, p1, p2, k3 = map(float, eye.k)
            lenses.append(
                {
                    "id": H36M_CAMERAS[number],
                    "center": eye.c.tolist(),
                    "focal_length": eye.f.tolist(),
                    "radial_distortion": [k1, k2, k3],
                    "tangential_distortion": [p2, p1],
                    "res_w": 1000,
                    "res_h": 1002 if number in {0, 3} else 1000,
                }
            )
        poses: dict[str, Any] = {"S2": [{}, {}, {}, {}]}
        for subject in self.subjects:
            poses[subject] = []
            for eye in self.eyes(subject):
                x, y, z, w = Rotation.from_matrix(eye.R.T).as_quat()
                centre = (-eye.R.T @ eye.T).tolist()
                orientation = [float(w), float(x), float(y), float(z)]
                poses[subject].append({"orientation": orientation, "translation": centre})
        (folder / "h36m_dataset.py").write_text(
            "raise SystemExit('this file was run')\n"
            f"h36m_cameras_intrinsic_params = {lenses!r}\n"
            f"h36m_cameras_extrinsic_params = {poses!r}\n"
        )


@dataclass(frozen=True)
class HumanEva:
    """A small HumanEva."""

    subjects: tuple[str, ...] = ("S1", "S2", "S3")
    actions: tuple[str, ...] = ("Walking 1 chunk0", "Jog 1 chunk1", "Box 1 chunk0")
    frames: int = 40
    detector: str = "gt"

    def eyes(self, subject: str) -> list[Eye]:
        return eyes(3, 50 + int(subject[1:]), size=640)

    def world(self, subject: str, action: str) -> Array:
        return bodies(self.frames, 15, len(subject + action) + 3 * ord(subject[-1]))

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        flat: dict[str, Any] = {"Unlabeled/S4": {"Walking 1": [None, None, None]}}
        deep: dict[str, Any] = {}
        for subject in self.subjects:
            self.write_cal(folder / subject / "Calibration_Data", self.eyes(subject))
            for part in (f"Train/{subject}", f"Validate/{subject}"):
                flat[part], deep[part] = {}, {}
                for action in self.actions:
                    world = self.world(part, action)
                    seen = [eye.project(world) for eye in self.eyes(subject)]
                    flat[part][action] = [one.astype("float32") for one in seen]
                    deep[part][action] = (world / 1000).astype("float32")
        metadata = {"num_joints": 15, "keypoints_symmetry": EVA_SYMMETRY}
        save_2d(folder / f"data_2d_humaneva15_{self.detector}.npz", flat, metadata)
        np.savez_compressed(folder / "data_3d_humaneva15.npz", positions_3d=deep)
        return folder

    def write_matlab(self, folder: Path) -> Path:
        """Write what VideoPose3D's converter leaves: a file per action, NaN in the third frame."""
        for subject in self.subjects:
            self.write_cal(folder / subject / "Calibration_Data", self.eyes(subject))
            for part in ("Train", "Validate"):
                (folder / part / subject).mkdir(parents=True)
                for action in self.actions:
                    world = self.world(f"{part}/{subject}", action)
                    seen = np.stack([eye.project(world) for eye in self.eyes(subject)])
                    world[2], seen[:, 2] = np.nan, np.nan
                    name = action.rpartition(" ")[0].replace(" ", "_")
                    content = {"poses_3d": world, "poses_2d": seen}
                    savemat(folder / part / subject / f"{name}.mat", content)
        return folder

    def write_cal(self, folder: Path, cameras: list[Eye]) -> None:
        folder.mkdir(parents=True)
        for name, eye in zip(("BW1", "C1", "C2", "C3"), [cameras[0], *cameras], strict=True):
            rows = [*eye.f, *eye.c, 0.0, *eye.k, *eye.R.ravel(), *eye.T]
            (folder / f"{name}.cal").write_text("\n".join(repr(float(row)) for row in rows))


@dataclass(frozen=True)
class Judged3DHP:
    """A small test set of MPI-INF-3DHP, as MATLAB 7.3 writes it."""

    names: tuple[str, ...] = ("TS1", "TS2", "TS5")
    frames: int = 50
    universal: float = 0.9

    def eye(self) -> Eye:
        none = np.zeros(5)
        return Eye(
            np.eye(3), np.zeros(3), np.array([1500.0, 1490.0]), np.array([1024.0, 1000]), none
        )

    def points(self, name: str) -> Array:
        """Return the joints in the camera's frame [mm]."""
        return bodies(self.frames, 17, int(name[2:])) + np.array([0, -1000.0, 4000.0])

    def scaled(self, name: str) -> Array:
        points = self.points(name)
        return points[:, 14:15] + self.universal * (points - points[:, 14:15])

    def valid(self, name: str) -> Array:
        return (np.arange(self.frames) % 7 != int(name[2:])).astype("float64")

    def activity(self) -> Array:
        return np.where(np.arange(self.frames) < self.frames // 2, 1.0, 4.0)

    def write(self, folder: Path) -> Path:
        for name in self.names:
            (folder / name).mkdir(parents=True)
            with h5py.File(folder / name / "annot_data.mat", "w") as file:
                file["annot2"] = self.eye().project(self.points(name))[:, None]
                file["annot3"] = self.points(name)[:, None]
                file["univ_annot3"] = self.scaled(name)[:, None]
                file["valid_frame"] = self.valid(name)[:, None]
                file["activity_annotation"] = self.activity()[:, None]
        return folder

    def write_npz(self, file: Path) -> Path:
        data = {
            name: {
                "data_2d": self.eye().project(self.points(name)),
                "data_3d": self.points(name),
                "valid": self.valid(name),
            }
            for name in self.names
        }
        np.savez_compressed(file, data=data)
        return file


@dataclass(frozen=True)
class Learned3DHP:
    """A small training set of MPI-INF-3DHP: 14 cameras, 28 joints, MATLAB 5."""

    frames: int = 20
    frames_of_last: int = 20

    def eyes(self) -> list[Eye]:
        return eyes(14, 3, lens=False, size=2048)

    def world(self, subject: str, sequence: int) -> Array:
        return bodies(self.frames, 28, sequence + 10 * int(subject[1:]))

    def write(self, folder: Path) -> Path:
        for subject, sequence in (("S1", 1), ("S1", 2), ("S2", 1)):
            home = folder / subject / f"Seq{sequence}"
            home.mkdir(parents=True)
            world = self.world(subject, sequence)
            flat, deep = np.empty((14, 1), dtype=object), np.empty((14, 1), dtype=object)
            for number, eye in enumerate(self.eyes()):
                flat[number, 0] = eye.project(world).reshape(self.frames, -1)
                deep[number, 0] = (world @ eye.R.T + eye.T).reshape(self.frames, -1)
            flat[8, 0] = flat[8, 0][: self.frames_of_last]  # the last that is read
            savemat(home / "annot.mat", {"annot2": flat, "annot3": deep, "univ_annot3": deep})
            (home / "camera.calibration").write_text(self.calibration())
        return folder

    def calibration(self) -> str:
        lines = ["Skeletool Camera Calibration File V1.0"]
        for number, eye in enumerate(self.eyes()):
            K, pose = np.eye(4), np.eye(4)
            K[[0, 1], [0, 1]], K[:2, 2] = eye.f, eye.c
            pose[:3, :3], pose[:3, 3] = eye.R, eye.T
            lines += [
                f"name          {number}",
                "  sensor      10 10",
                "  size        2048 2048",
                "  animated    0",
                f"  intrinsic   {' '.join(repr(float(one)) for one in K.ravel())}",
                f"  extrinsic   {' '.join(repr(float(one)) for one in pose.ravel())}",
                "  radial      0",
            ]
        return "\n".join(lines) + "\n"


def save_2d(path: Path, poses: dict[str, Any], metadata: dict[str, Any]) -> None:
    """Write 2D poses as VideoPose3D does: pickled dicts in arrays without axes."""
    np.savez_compressed(path, positions_2d=poses, metadata=metadata)


def read(path: Path, **settings: Any) -> dict[str, Recording]:
    recordings = read_recordings([str(path)], ReadSettings(**settings))
    return {recording.name: recording for recording in recordings}


def changed(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Change what a 2D file of VideoPose3D holds."""
    file = next(folder.glob("data_2d_*.npz"))
    content = np.load(file, allow_pickle=True)
    poses, metadata = content["positions_2d"].item(), content["metadata"].item()
    whole = {"poses": poses, "metadata": metadata}
    change(whole)
    save_2d(file, whole["poses"], whole["metadata"])
    return folder
