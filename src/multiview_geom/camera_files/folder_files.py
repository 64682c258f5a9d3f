"""The files of a folder that holds one file per camera."""

import re
from pathlib import Path

from multiview_geom.camera_files.place import FilePlace

MOST_CAMERAS = 2_000
"""More would need gigabytes; the largest rigs of today have about 500 cameras."""


def camera_files(folder: Path, *patterns: str) -> list[Path]:
    """List the files of a folder that match a pattern, in natural order: C2 before C10."""
    files: set[Path] = set()
    for pattern in patterns:
        for file in folder.glob(pattern):
            files.add(file)
            if len(files) > MOST_CAMERAS:
                raise FilePlace(folder).expected(f"at most {MOST_CAMERAS} files", "more")
    return sorted((file for file in files if file.is_file()), key=_numbers_in_name)


def _numbers_in_name(path: Path) -> list[tuple[int, str]]:
    parts = re.findall(r"\d{1,9}|\D+", path.stem)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
