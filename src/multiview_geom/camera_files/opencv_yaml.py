"""OpenCV's calibrations in YAML, as its FileStorage writes them."""

from pathlib import Path

from multiview_geom.camera_files.format import CameraFormat, CameraSource
from multiview_geom.camera_files.opencv_nodes import parse_yaml, write_yaml
from multiview_geom.camera_files.opencv_rig import records, rig_tree
from multiview_geom.camera_files.records import CameraRecord
from multiview_geom.cameras import Cameras


def read(source: CameraSource) -> list[CameraRecord]:
    """Read a rig, a pair or one camera."""
    return records(source.place, parse_yaml(source.path, source.text))


def write(path: Path, cameras: Cameras, _subject: str) -> None:
    """Write a rig."""
    write_yaml(path, rig_tree(cameras))


FORMAT = CameraFormat(
    name="opencv-yaml",
    title="OpenCV YAML",
    unit=None,
    recognizes=lambda source: source.text.startswith("%YAML"),
    read=read,
    write=write,
    suffixes=(".yml", ".yaml"),
)
