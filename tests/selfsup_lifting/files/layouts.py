"""Files in the exact layout of each detector, written from the layouts' descriptions alone."""

import csv
import json
import pickle
from collections.abc import Callable
from math import isnan
from pathlib import Path

import h5py
import numpy as np

from multiview_geom import save_cameras
from selfsup_lifting.recording import Recording


def triples(recording: Recording, frame: int, view: int) -> list[list[float]]:
    """Return x, y and score of every joint; missing is three zeros."""
    joints = zip(
        recording.keypoints[frame, view].tolist(),
        recording.confidence[frame, view].tolist(),
        strict=True,
    )
    return [[0.0, 0.0, 0.0] if isnan(x) else [x, y, score] for (x, y), score in joints]


def flat(recording: Recording, frame: int, view: int) -> list[float]:
    return [number for triple in triples(recording, frame, view) for number in triple]


def nobody(recording: Recording, frame: int, view: int) -> bool:
    return bool((recording.confidence[frame, view] == 0).all())


def openpose(folder: Path, recording: Recording, view: int) -> Path:
    home = folder / f"cam{view + 1}_json"
    home.mkdir(parents=True)
    for frame in range(recording.frame_count):
        person = {"person_id": [-1], "pose_keypoints_2d": flat(recording, frame, view)}
        people = [] if nobody(recording, frame, view) else [person]
        text = json.dumps({"version": 1.3, "people": people})
        (home / f"cam{view + 1}_{frame:012d}_keypoints.json").write_text(text)
    return home


def openpose_in_shares(folder: Path, recording: Recording, view: int) -> Path:
    """Write what `--keypoint_scale 3` gives: shares of the picture."""
    home = openpose(folder, recording, view)
    width, tall = recording.cameras.image_size[view].tolist()
    for file in home.iterdir():
        content = json.loads(file.read_text())
        for person in content["people"]:
            numbers = person["pose_keypoints_2d"]
            numbers[0::3] = [x / (width - 1) for x in numbers[0::3]]
            numbers[1::3] = [y / (tall - 1) for y in numbers[1::3]]
        file.write_text(json.dumps(content))
    return home


def instance(recording: Recording, frame: int, view: int) -> dict:
    keypoints = [triple[:2] for triple in triples(recording, frame, view)]
    scores = [triple[2] for triple in triples(recording, frame, view)]
    low = [min(point[axis] for point in keypoints) for axis in (0, 1)]
    high = [max(point[axis] for point in keypoints) for axis in (0, 1)]
    return {
        "keypoints": keypoints, "keypoint_scores": scores,
        "bbox": [[*low, *high]], "bbox_score": 0.9,
    }  # fmt: skip


def instances(recording: Recording, frame: int, view: int) -> list[dict]:
    return [] if nobody(recording, frame, view) else [instance(recording, frame, view)]


def mmpose(folder: Path, recording: Recording, view: int) -> Path:
    frames = [
        {"frame_id": frame, "instances": instances(recording, frame, view)}
        for frame in range(recording.frame_count)
    ]
    return write_json(folder / f"cam{view + 1}.json", frames)


def mmpose_demo(folder: Path, recording: Recording, view: int) -> Path:
    frames = [
        {"frame_id": frame + 1, "instances": instances(recording, frame, view)}
        for frame in range(recording.frame_count)
    ]
    joints = recording.skeleton.joints
    meta = {
        "dataset_name": "own",
        "num_keypoints": len(joints),
        "keypoint_id2name": {str(joint): name for joint, name in enumerate(joints)},
        "skeleton_links": [list(bone) for bone in recording.skeleton.bones],
        "keypoint_colors": {"__ndarray__": [[51, 153, 255]], "dtype": "uint8", "shape": [1, 3]},
    }
    return write_json(folder / f"cam{view + 1}.json", {"meta_info": meta, "instance_info": frames})


def alphapose(folder: Path, recording: Recording, view: int) -> Path:
    """Write the default list; scores of COCO models exceed one."""
    people = [
        {
            "image_id": f"{frame}.jpg", "category_id": 1,
            "keypoints": flat(recording, frame, view), "score": 2.9, "box": [1.0, 2.0, 3.0, 4.0],
            "idx": [1],
        }
        for frame in range(recording.frame_count)
        if not nobody(recording, frame, view)
    ]  # fmt: skip
    return write_json(folder / f"cam{view + 1}.json", people)


def alphapose_cmu(folder: Path, recording: Recording, view: int) -> Path:
    pictures = {
        f"{frame}.jpg": {
            "version": "AlphaPose v0.3",
            "bodies": [{"joints": flat(recording, frame, view)}],
        }
        for frame in range(recording.frame_count)
    }
    return write_json(folder / f"cam{view + 1}.json", pictures)


def alphapose_open(folder: Path, recording: Recording, view: int) -> Path:
    pictures = {
        f"{frame}.jpg": {
            "version": "AlphaPose v0.3",
            "people": [{"pose_keypoints_2d": flat(recording, frame, view)}],
        }
        for frame in range(recording.frame_count)
    }
    return write_json(folder / f"cam{view + 1}.json", pictures)


def coco_results(folder: Path, recording: Recording, view: int) -> Path:
    people = [
        {
            "image_id": frame,
            "category_id": 1,
            "keypoints": flat(recording, frame, view),
            "score": 0.8,
        }
        for frame in range(recording.frame_count)
        if not nobody(recording, frame, view)
    ]
    return write_json(folder / f"cam{view + 1}.json", people)


def dlc_columns(recording: Recording, individuals: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    people = [(person,) for person in individuals] or [()]
    return [
        ("DLC_resnet50", *person, joint, coordinate)
        for person in people
        for joint in recording.skeleton.joints
        for coordinate in ("x", "y", "likelihood")
    ]


def dlc_row(recording: Recording, frame: int, view: int) -> list[float]:
    """Return a row of the table: missing coordinates are NaN, and their likelihood may be 1.0."""
    row: list[float] = []
    for x, y, score in triples(recording, frame, view):
        row += [x, y, score] if score else [np.nan, np.nan, 1.0]
    return row


def dlc_csv(folder: Path, recording: Recording, view: int) -> Path:
    names = ("scorer", "bodyparts", "coords")
    return write_dlc_csv(folder / f"cam{view + 1}DLC_resnet50.csv", recording, view, names)


def dlc_csv_of_several(folder: Path, recording: Recording, view: int) -> Path:
    names = ("scorer", "individuals", "bodyparts", "coords")
    path = folder / f"cam{view + 1}DLC_dlcrnet.csv"
    return write_dlc_csv(path, recording, view, names, ("mouse1",))


def write_dlc_csv(
    path: Path,
    recording: Recording,
    view: int,
    names: tuple[str, ...],
    individuals: tuple[str, ...] = (),
) -> Path:
    columns = dlc_columns(recording, individuals)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        for level, name in enumerate(names):
            writer.writerow([name, *(column[level] for column in columns)])
        for frame in range(recording.frame_count):
            row = dlc_row(recording, frame, view)
            writer.writerow([frame, *("" if isnan(cell) else cell for cell in row)])
    return path


def dlc_h5(folder: Path, recording: Recording, view: int) -> Path:
    """Write what `DataFrame.to_hdf(format="table")` does: one record per row."""
    columns = dlc_columns(recording)
    path = folder / f"cam{view + 1}DLC_resnet50.h5"
    rows = np.zeros(
        recording.frame_count, dtype=[("index", "<i8"), ("values_block_0", "<f8", (len(columns),))]
    )
    rows["index"] = range(recording.frame_count)
    rows["values_block_0"] = [
        dlc_row(recording, frame, view) for frame in range(recording.frame_count)
    ]
    with h5py.File(path, "w") as file:
        group = file.create_group("df_with_missing")
        group.attrs["pandas_type"] = np.bytes_(b"frame_table")
        table = group.create_dataset("table", data=rows)
        table.attrs["values_block_0_kind"] = np.bytes_(pickle.dumps(columns, protocol=0))
    return path


def dlc_fixed_h5(folder: Path, recording: Recording, view: int) -> Path:
    """Write what `DataFrame.to_hdf(format="fixed")` does: levels and places in them."""
    columns = dlc_columns(recording, ("mouse1",))
    path = folder / f"cam{view + 1}DLC_dlcrnet.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("df_with_missing")
        group.attrs["pandas_type"] = np.bytes_(b"frame")
        group.attrs["block0_items_nlevels"] = np.int64(4)
        for level, names in enumerate(zip(*columns, strict=True)):
            known = sorted(set(names))
            group[f"block0_items_level{level}"] = np.array([name.encode() for name in known])
            group[f"block0_items_label{level}"] = np.array(
                [known.index(name) for name in names], dtype=np.int8
            )
        group["axis1"] = np.arange(recording.frame_count)
        group["block0_values"] = [
            dlc_row(recording, frame, view) for frame in range(recording.frame_count)
        ]
    return path


def sleap(folder: Path, recording: Recording, view: int) -> Path:
    path = folder / f"cam{view + 1}.analysis.h5"
    places = recording.keypoints[:, view].numpy()
    joints = recording.skeleton.joints
    with h5py.File(path, "w") as file:
        file["tracks"] = places.transpose(2, 1, 0)[None]
        file["point_scores"] = recording.confidence[:, view].numpy().T[None]
        file["track_occupancy"] = np.ones((recording.frame_count, 1), dtype=np.uint8)
        file["node_names"] = [joint.encode() for joint in joints]
        file["track_names"] = [b"mouse"]
        file["edge_names"] = [
            [joints[one].encode(), joints[other].encode()]
            for one, other in recording.skeleton.bones
        ]
    return path


def videopose3d(folder: Path, recording: Recording, view: int) -> Path:
    width, tall = recording.cameras.image_size[view].tolist()
    video = f"cam{view + 1}"
    positions = {video: {"custom": [recording.keypoints[:, view].numpy()]}}
    metadata = {
        "layout_name": "coco", "num_joints": 17, "keypoints_symmetry": [[1, 3], [2, 4]],
        "video_metadata": {video: {"w": width, "h": tall}},
    }  # fmt: skip
    path = folder / f"{video}.npz"
    np.savez_compressed(path, positions_2d=np.array(positions), metadata=np.array(metadata))
    return path


def plain_csv(folder: Path, recording: Recording, view: int) -> Path:
    path = folder / f"cam{view + 1}.csv"
    columns = [
        f"{joint}_{kind}"
        for joint in recording.skeleton.joints
        for kind in ("x", "y", "confidence")
    ]
    with path.open("w", newline="") as file:
        file.write("# tracks of my own\n")
        writer = csv.writer(file)
        writer.writerow(["frame", "time", *columns])
        for frame in range(recording.frame_count):
            row = [
                cell
                for x, y, score in triples(recording, frame, view)
                for cell in ((x, y, score) if score else ("", "", ""))
            ]
            writer.writerow([frame, frame / recording.fps, *row])
    return path


def caliscope(folder: Path, recording: Recording, view: int) -> Path:
    """Write a row per point; caliscope writes all cameras into one table, and no scores."""
    path = folder / f"cam{view + 1}.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        pixel, board = ("img_loc_x", "img_loc_y"), ("obj_loc_x", "obj_loc_y")
        writer.writerow(
            ["sync_index", "port", "frame_index", "frame_time", "point_id", *pixel, *board]
        )
        for frame in range(recording.frame_count):
            for joint, (x, y, score) in enumerate(triples(recording, frame, view)):
                if score:
                    at = [frame, view + 1, frame, 1000 + frame / recording.fps]
                    writer.writerow([*at, joint, x, y, "", ""])
    return path


def freemocap(folder: Path, recording: Recording, view: int) -> Path:
    """Write the array of a recording of one camera: body, hands and face, x, y and depth."""
    home = folder / f"cam{view + 1}"
    raw = home / "output_data" / "raw_data"
    raw.mkdir(parents=True)
    (home / "synchronized_videos").mkdir()
    (home / "synchronized_videos" / f"cam{view + 1}.mp4").touch()
    array = np.full((1, recording.frame_count, 553, 3), np.nan)
    array[0, :, :33, :2] = recording.keypoints[:, view].numpy()
    array[0, :, :33, 2] = -0.5
    path = raw / "mediapipe_2dData_numCams_numFrames_numTrackedPoints_pixelXY.npy"
    np.save(path, array)
    return path


def mediapipe(folder: Path, recording: Recording, view: int) -> Path:
    """Write the results of the pose landmarker, as JSON.stringify writes them."""
    width, tall = recording.cameras.image_size[view].tolist()
    frames = []
    for frame in range(recording.frame_count):
        person = [
            {"x": x / width, "y": y / tall, "z": -0.1, "visibility": score}
            for x, y, score in triples(recording, frame, view)
        ]
        people = [] if nobody(recording, frame, view) else [person]
        frames.append({"landmarks": people, "worldLandmarks": people})
    return write_json(folder / f"cam{view + 1}.json", frames)


def ultralytics(folder: Path, recording: Recording, view: int) -> Path:
    """Write what `predict(..., save_txt=True)` does: shares of the picture, frames from 1."""
    home = folder / f"cam{view + 1}" / "labels"
    home.mkdir(parents=True)
    width, tall = recording.cameras.image_size[view].tolist()
    for frame in range(recording.frame_count):
        if nobody(recording, frame, view):
            continue
        line = [0, 0.5, 0.5, 0.25, 0.75]
        for x, y, score in triples(recording, frame, view):
            line += [x / width, y / tall, score or 0.25]
        text = " ".join(f"{number:.9g}" for number in line)
        (home / f"cam{view + 1}_{frame + 1}.txt").write_text(text + "\n")
    return home


def write_json(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


Writer = Callable[[Path, Recording, int], Path]

# Every layout; those of AlphaPose for OpenPose's tools know only COCO's 18 joints.
WRITERS: dict[str, Writer] = {
    writer.__name__: writer
    for writer in (
        openpose, openpose_in_shares, mmpose, mmpose_demo, alphapose, alphapose_cmu,
        alphapose_open, coco_results, dlc_csv, dlc_csv_of_several, dlc_h5, dlc_fixed_h5, sleap,
        videopose3d, plain_csv, caliscope, freemocap, ultralytics, mediapipe,
    )
}  # fmt: skip
BODIES = dict.fromkeys(WRITERS, "coco17") | {
    "alphapose_cmu": "coco18",
    "alphapose_open": "coco18",
    "caliscope": "blazepose33",
    "freemocap": "blazepose33",
    "mediapipe": "blazepose33",
}
WITHOUT_SCORES = frozenset({"videopose3d", "caliscope", "freemocap"})


def write_session(folder: Path, recording: Recording, writer: Writer) -> Path:
    """Write every camera's tracks and the calibration into one folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for view in range(recording.cameras.views):
        writer(folder, recording, view)
    names = [f"cam_{view + 1}" for view in range(recording.cameras.views)]
    save_calibration(folder / "calibration.toml", recording, names)
    return folder


def save_calibration(path: Path, recording: Recording, names: list[str]) -> None:
    from dataclasses import replace

    save_cameras(path, replace(recording.cameras, names=tuple(names)))
