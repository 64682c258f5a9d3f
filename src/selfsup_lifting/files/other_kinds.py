"""What a file is that no detector's format recognizes, for the sentence that refuses it."""

import re
from collections.abc import Sequence
from pathlib import Path

from multiview_geom.camera_files.file_kinds import (
    ENCODED_TWICE,
    LINKED,
    POINTER,
    TRANSFERRED,
    ZEROS,
)
from selfsup_lifting.parse.folders import entries, files_with
from selfsup_lifting.parse.npz import array_names
from selfsup_lifting.parse.tables import SUFFIXES, first_cells
from selfsup_lifting.parse.text import beginning
from selfsup_lifting.parse.unpacking import EMPTY, kind_of_bytes
from selfsup_lifting.read_errors import listed
from selfsup_lifting.saved_tracks import holds_tracks

UNKNOWN = "in no known format"
TOLD_BY_BYTES = (POINTER, EMPTY, TRANSFERRED, ZEROS)
POINTS = "3D points, not the detections of a camera"
LAYOUT = "expected `frame`, <joint>_x and <joint>_y"
WORKBOOK = "a workbook: save its sheet as CSV"
PACKED = "packed: unpack it first"
PICKLE = "a Python pickle; of those, OpenCap's calibration is read"
UNFINISHED = "a copy or a download that is not finished"
BY_SUFFIX = {
    ".trc": f"{POINTS}; `view` shows them",
    ".c3d": f"{POINTS}; `view` shows them",
    ".glb": "a model in glTF, which is written and not read",
    ".gltf": "a model in glTF, which is written and not read",
    ".vrm": "a model in glTF, which is written and not read",
    ".slp": "a project of SLEAP: export its analysis as HDF5",
    ".nwb": "tracks in NWB: those of SLEAP's analysis as HDF5 and DeepLabCut's .h5 are read",
    ".nc": (
        "netCDF, as the package movement saves poses: its `save_poses.to_sleap_analysis_file` and "
        "`to_dlc_file` write files that are read"
    ),
    ".fbx": "a scene in FBX: convert its motion to BVH",
    ".asf": "motion capture in ASF/AMC: convert it to BVH",
    ".amc": "motion capture in ASF/AMC: convert it to BVH",
    ".mot": "a table of OpenSim",
    ".sto": "a table of OpenSim",
    ".onnx": "a network in ONNX",
    ".xlsx": WORKBOOK,
    ".xls": WORKBOOK,
    ".ods": WORKBOOK,
    ".jsonl": "lines of a stream: `predict RUN - < FILE` reads them",
    ".parquet": "a table of columns, which is not read: write it as CSV",
    ".feather": "a table of columns, which is not read: write it as CSV",
    ".rds": "data of R, which is not read: write it as CSV",
    ".gz": PACKED,
    ".zip": PACKED,
    ".7z": PACKED,
    ".rar": PACKED,
    ".pkl": PICKLE,
    ".pickle": PICKLE,
    ".part": UNFINISHED,
    ".crdownload": UNFINISHED,
    ".download": UNFINISHED,
    ".icloud": UNFINISHED,
    ".npy": "a NumPy array; of those of FreeMoCap, mediapipe*2dData*.npy is read",
}
# How texts begin that no reader takes, by the suffixes of their files, and what they are.
TEXTS = tuple(
    (suffixes, re.compile(pattern, re.DOTALL), told)
    for suffixes, pattern, told in (
        ((".json",), r'\s*"[\[{]', ENCODED_TWICE),
        ((".json",), r'.*"annotations"|(?=.*"images").*"file_name"',
         "annotations of COCO; a list of results is read"),
        ((".json",), r'(?=.*"bboxes").*"labels"',
         "boxes of MMDetection, not joints: MMPose's `Inferencer` writes these"),
        ((".json",), r"\s*\[\s*\[\s*-?\d",
         "lists of numbers without names: write what the detector returned, or a CSV"),
        ((".json",), r'.*"bodyparts"',
         "poses of DeepLabCut's SuperAnimal as JSON: its .h5 and .csv are read"),
        ((".txt",), r"\s*(landmark|Landmark|NormalizedLandmark)\w*\s*[{(]",
         "landmarks of MediaPipe as Python prints them: write them as JSON"),
        (SUFFIXES, r"#[^\n]*\bframe\b[^\n]*_x\b",
         f"a header after #, which makes it a remark: remove the #; {LAYOUT}"),
    )
)  # fmt: skip
# Columns of a table with one row per joint, in words that programs and people use.
JOINT_COLUMNS = frozenset({"joint", "keypoint", "bodypart", "marker", "landmark", "part"})
NUMBER = re.compile(r"-?\d[\d.]*(e[-+]?\d+)?|", re.IGNORECASE)
# Class and box before what else a line of Ultralytics has.
BOX = 5


def format_of(path: Path) -> str:
    """Return "in no known format", and what a file or folder is, if that can be told.

    Example:
        >>> format_of(Path("session.slp"))
        'in no known format (a project of SLEAP: export its analysis as HDF5)'
    """
    kind = _kind(path)
    return f"{UNKNOWN} ({kind})" if kind else UNKNOWN


def named_with_format(paths: Sequence[Path], home: Path) -> str:
    """Return the names of files in no known format below a folder, those of a kind together."""
    kinds: dict[str, list[str]] = {}
    for path in paths:
        kinds.setdefault(format_of(path), []).append(str(path.relative_to(home)))
    return "; ".join(f"{listed(names)}: {kind}" for kind, names in kinds.items())


def _kind(path: Path) -> str:
    """Return what a file or folder is; empty if it cannot be told."""
    if path.is_dir():
        return _kind_of_folder(path)
    kind = kind_of_bytes(path) if path.is_file() else None
    if kind is not None and (kind in TOLD_BY_BYTES or kind.startswith(LINKED)):
        return kind
    if path.suffix.lower() in BY_SUFFIX:
        return BY_SUFFIX[path.suffix.lower()]
    if holds_tracks(path):
        return f"{POINTS}; `view` shows them"
    if path.suffix.lower() == ".npz":
        return _kind_of_archive(path)
    return _kind_of_text(path) or (
        _kind_of_table(first_cells(path)) if path.suffix.lower() in SUFFIXES else ""
    )


def _kind_of_text(path: Path) -> str:
    found = (told for suffixes, pattern, told in TEXTS if pattern.match(beginning(path, *suffixes)))
    return next(found, "")


def _kind_of_archive(path: Path) -> str:
    if not array_names(path):
        return "a NumPy archive that is cut off or damaged"
    if path.name.startswith("data_3d_"):
        return "the 3D truth of a dataset; its 2D poses, data_2d_*.npz, are not beside it"
    return (
        f"a NumPy archive with {listed(sorted(array_names(path)))}; expected `positions_2d`, as "
        "VideoPose3D's detections have, or `tracks`, as 3D tracks of this package"
    )


def _kind_of_table(names: Sequence[str]) -> str:
    deep = {f"{name.removesuffix('_x')}_z" for name in names if name.endswith("_x")} & {*names}
    known = {*names}
    kinds = (
        (
            bool(deep) or {"x_coord", "y_coord", "z_coord"} <= known or names[:1] == ["scorer"],
            f"{POINTS}; `view` reads TRC, C3D, BVH and the tables of this package, which begin "
            "with #",
        ),
        (
            names[:1] in (["bodyparts"], ["individuals"]),
            "a table of DeepLabCut without its first row, which begins with `scorer`",
        ),
        (
            names[1:2] == ["scorer"],
            "a table of DeepLabCut with another column before `scorer`: remove it",
        ),
        (
            any(name.startswith("('") for name in names),
            "a table of pandas with one row of headers; DeepLabCut's has three, `scorer` first",
        ),
        (
            len(names) > 1 and all(map(NUMBER.fullmatch, names)),
            f"a table whose first row has numbers: its header was deleted, or its rows sorted; "
            f"{LAYOUT}",
        ),
        ("instance.score" in names, "a table of SLEAP: export its analysis as HDF5"),
        (
            {"x", "y"} <= known and bool(JOINT_COLUMNS & known),
            f"a row per joint; {LAYOUT} in one row per frame",
        ),
        (len(names) > 1, f"{LAYOUT}, got {listed(names)}"),
    )
    return next((told for is_so, told in kinds if is_so), "")


def _kind_of_folder(folder: Path) -> str:
    if (folder / "checkpoint.json").is_file():
        return "the folder of a training, not data"
    if (folder / "weights").is_dir() and (folder / "args.yaml").is_file():
        return "a training of Ultralytics without labels: `predict` with save_txt writes them"
    if next(folder.glob("*_pose.yml"), None) is not None:
        return "keypoints of OpenPose in YAML: write JSON, with --write_json"
    files = entries(folder)
    if len(files) > 1 and all(one.is_file() and not one.stat().st_size for one in files):
        return f"{len(files)} empty files; likely cause: a full disk"
    texts = files_with(folder, ".txt")
    line = beginning(texts[0], ".txt").partition("\n")[0] if texts else ""
    numbers = line.split()
    shares = [word for word in numbers[1:BOX] if re.fullmatch(r"0?\.\d+|0|1(\.0+)?", word)]
    if len(shares) < BOX - 1 or not numbers[0].isdigit():
        return ""
    return "labels of Ultralytics without 17 keypoints, or others with scores: of boxes or outlines"
