"""HumanEva's `.cal`, a camera in 22 numbers, in millimeters: X_camera = R X_world + T."""

from pathlib import Path

from multiview_geom.camera_files.folder_files import camera_files
from multiview_geom.camera_files.format import CameraFormat, CameraSource, read_text
from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.records import CameraRecord, five_coefficients, focal_matrix
from multiview_geom.camera_files.values import parsed_numbers
from multiview_geom.cameras import Cameras

NUMBERS = 22
SUFFIX = ".cal"


def read(source: CameraSource) -> list[CameraRecord]:
    """Read one camera, or all cameras of a folder."""
    if not source.is_folder:
        return [_camera(source.path, source.text)]
    files = camera_files(source.path, f"*{SUFFIX}")
    return [_camera(file, read_text(file)) for file in files]


def write(folder: Path, cameras: Cameras, _subject: str) -> None:
    """Write one file per camera into a folder, which is created if it does not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    k = five_coefficients(cameras)
    for view, name in enumerate(cameras.names):
        if Path(name).name != name or "\0" in name:
            raise ValueError(f"`cameras` must have names that can be file names, got {name!r}")
        K, pose = cameras.intrinsics[view], cameras.camera_from_world[view]
        lens = [K[0, 0], K[1, 1], K[0, 2], K[1, 2], K[0, 1] / K[0, 0], *k[view]]
        row = [*lens, *pose[:3, :3].flatten(), *pose[:3, 3]]
        lines = [repr(float(number)) for number in row]
        (folder / f"{name}{SUFFIX}").write_text("\n".join([*lines, ""]), encoding="utf-8")


def _camera(path: Path, text: str) -> CameraRecord:
    row = parsed_numbers(FilePlace(path), text.split(), NUMBERS)
    fx, fy, cx, cy, alpha = row[:5].tolist()
    return CameraRecord(
        name=path.stem,
        intrinsics=focal_matrix(fx, fy, cx, cy, alpha * fx),
        rotation=row[10:19].reshape(3, 3),
        translation=row[19:],
        distortion=tuple(row[5:10].tolist()),
    )


def _recognizes(source: CameraSource) -> bool:
    if source.is_folder:
        return any(source.path.glob(f"*{SUFFIX}"))
    return source.begins_with_number


FORMAT = CameraFormat(
    name="humaneva",
    title="HumanEva .cal",
    unit="mm",
    recognizes=_recognizes,
    read=read,
    write=write,
    files=f"*{SUFFIX}",
)
