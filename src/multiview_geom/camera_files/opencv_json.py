"""OpenCV's calibrations in JSON, as its FileStorage writes them."""

import json
from pathlib import Path

from multiview_geom.camera_files.format import CameraFormat, CameraSource
from multiview_geom.camera_files.opencv_rig import records, rig_tree
from multiview_geom.camera_files.records import CameraRecord
from multiview_geom.cameras import Cameras


def read(source: CameraSource) -> list[CameraRecord]:
    """Read a rig, a pair or one camera."""
    return records(source.place, source.json)


def write(path: Path, cameras: Cameras, _subject: str) -> None:
    """Write a rig."""
    path.write_text(json.dumps(rig_tree(cameras), indent=4) + "\n", encoding="utf-8")


FORMAT = CameraFormat(
    name="opencv-json",
    title="OpenCV JSON",
    unit=None,
    recognizes=lambda source: source.text.startswith("{"),
    read=read,
    write=write,
    suffixes=(".json",),
)
