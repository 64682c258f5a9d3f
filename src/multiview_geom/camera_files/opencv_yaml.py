"""OpenCV's calibrations in YAML, as its FileStorage writes them.

The sample `stereo_calib` writes a pair into two files: lenses in one, the pose in the other.
"""

from pathlib import Path

from multiview_geom.camera_files.format import CameraFormat, CameraSource, read_text
from multiview_geom.camera_files.opencv_nodes import parse_yaml, write_yaml
from multiview_geom.camera_files.opencv_rig import is_half_of_a_pair, records, rig_tree
from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.records import CameraRecord
from multiview_geom.cameras import Cameras

PAIR = ("intrinsics.yml", "extrinsics.yml")


def read(source: CameraSource) -> list[CameraRecord]:
    """Read a rig, a pair or one camera; half of a pair is completed by the file beside it."""
    folder = source.folder_with(*PAIR)
    if folder is not None and (source.is_folder or is_half_of_a_pair(source.yaml)):
        lenses, pose = (folder / name for name in PAIR)
        tree = parse_yaml(lenses, read_text(lenses)) | parse_yaml(pose, read_text(pose))
        return records(FilePlace(lenses), tree, FilePlace(pose))
    return records(source.place, source.yaml)


def write(path: Path, cameras: Cameras, _subject: str) -> None:
    """Write a rig."""
    write_yaml(path, rig_tree(cameras))


def _recognizes(source: CameraSource) -> bool:
    return source.looks_like_yaml or source.folder_with(*PAIR) is not None


FORMAT = CameraFormat(
    name="opencv-yaml",
    title="OpenCV YAML",
    unit=None,
    recognizes=_recognizes,
    read=read,
    write=write,
    suffixes=(".yml", ".yaml"),
    files=" and ".join(PAIR),
)
