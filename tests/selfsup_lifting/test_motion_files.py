"""Laws of files of 3D motion: they read back as they were written, upright and in meters."""

import json
import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch.testing import assert_close

from selfsup_lifting.c3d_file import require_whole_c3d
from selfsup_lifting.cli import main
from selfsup_lifting.config import TriangulationSettings
from selfsup_lifting.export import save_tracks
from selfsup_lifting.motion_files import holds_motion, load_motion
from selfsup_lifting.read_errors import ReadError
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording_file import save_recording
from selfsup_lifting.skeleton.skeletons import Skeleton
from selfsup_lifting.upright import y_up
from selfsup_lifting.viewer.scene import notes_on_scene, read_scene
from tests.selfsup_lifting.files.damage import DAMAGES, BytesDamage
from tests.selfsup_lifting.simulation.test_motion_capture import actor
from tests.selfsup_lifting.strategies import Scene

RECORDING = Scene(views=2, frames=6, skeleton="coco17").recording()
MARKERS = """PathFileType\t4\t(X/Y/Z)\tplate.trc
DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames
100.00\t100.00\t2\t3\tmm\t100.00\t1\t2
Frame#\tTime\tleft\t\t\tmiddle\t\t\tright\t\t
\t\tX1\tY1\tZ1\tX2\tY2\tZ2\tX3\tY3\tZ3

1\t0.000\t0\t1000\t0\t100\t1000\t0\t200\t1000\t0
2\t0.010\t0\t1100\t0\t100\t1100\t0\t\t\t
"""


def saved(path: Path, up: str = "z") -> Path:
    points = RECORDING.truth.clone()
    points[2, 5] = torch.nan
    save_tracks(
        path, points, skeleton=RECORDING.skeleton, fps=RECORDING.fps, coordinates="world", up=up,
        fill=path.suffix == ".bvh",
    )  # fmt: skip
    return path


@pytest.mark.parametrize("suffix", [".trc", ".c3d"])
@pytest.mark.parametrize("up", ["z", "-y"])
def test_tracks_read_back_with_their_axis_up(tmp_path: Path, suffix: str, up: str) -> None:
    if suffix == ".c3d":
        pytest.importorskip("ezc3d")
    found = load_motion(saved(tmp_path / f"walk{suffix}", up))
    assert found.skeleton.joints == RECORDING.skeleton.joints
    assert found.skeleton.bones == RECORDING.skeleton.bones
    assert found.fps == pytest.approx(RECORDING.fps)
    expected = y_up(RECORDING.truth.double(), up)
    expected[2, 5] = torch.nan
    assert_close(y_up(found.points, found.up), expected, atol=1e-5, rtol=0, equal_nan=True)


def test_a_row_may_end_early(tmp_path: Path) -> None:
    path = tmp_path / "plate.trc"
    path.write_text(MARKERS + "3\n4\t0.03\t0\t1200\t0\n")
    points = load_motion(path).points
    assert points[2].isnan().all()
    assert points[3, 0].tolist() == [0.0, 1.2, 0.0]
    assert points[3, 1:].isnan().all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MARKERS + "3\t0.02\t0\t12", "expected 3 numbers per marker, got 2 in a row"),
        (MARKERS[:60], "lines of header"),
    ],
)
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "plate.trc").write_text(text)
    with pytest.raises(ReadError, match=f"plate.trc.*{said}.*; the file is cut short"):
        load_motion(tmp_path / "plate.trc")


def test_a_name_may_have_a_sign_that_ends_a_line_for_python(tmp_path: Path) -> None:
    (tmp_path / "plate.trc").write_text(MARKERS.replace("\tM1\t", "\tM\u20281\t"))
    assert len(load_motion(tmp_path / "plate.trc").skeleton.joints) > 1


def test_two_takes_in_one_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "plate.trc").write_text(2 * MARKERS)
    first = len(MARKERS.splitlines()) + 1
    with pytest.raises(ReadError, match=rf"plate\.trc: in line {first} another file begins"):
        load_motion(tmp_path / "plate.trc")


@pytest.mark.parametrize("rate", ["1e-320", "1e308", "nan", "-30"])
def test_a_rate_that_no_camera_has_is_refused(tmp_path: Path, rate: str) -> None:
    (tmp_path / "plate.trc").write_text(MARKERS.replace("100.00", rate))
    with pytest.raises(ReadError, match=r"plate\.trc: expected .*a frame rate"):
        load_motion(tmp_path / "plate.trc")


@pytest.mark.parametrize("giant", ["1e308", "-1e13", "inf"])
def test_a_point_beyond_the_moon_is_missing(tmp_path: Path, giant: str) -> None:
    (tmp_path / "plate.trc").write_text(MARKERS.replace("\t1100\t", f"\t{giant}\t", 1))
    points = load_motion(tmp_path / "plate.trc").points
    assert points[1, 0, 1].isnan()
    assert points[1, 1].tolist() == [0.1, 1.1, 0.0]
    main(["view", str(tmp_path / "plate.trc"), "--out", str(tmp_path / "plate.gif")])


def test_a_hierarchy_has_its_joints_and_the_ends_of_its_bones(tmp_path: Path) -> None:
    found = load_motion(saved(tmp_path / "walk.bvh"))
    (tmp_path / "actor.bvh").write_text(actor())
    person = load_motion(tmp_path / "actor.bvh")
    for one in (found, person):
        lengths = torch.stack(
            [(one.points[:, a] - one.points[:, b]).norm(dim=-1) for a, b in one.skeleton.bones]
        )
        assert lengths.std(dim=1).max() < 1e-3  # the bones of a hierarchy are rigid
    assert found.up == person.up == "y"
    size = (person.points.amax(dim=1) - person.points.amin(dim=1)).norm(dim=-1)
    assert 0.5 < float(size.median()) < 3.0


def test_the_last_bone_ends_where_its_joint_turns_it(tmp_path: Path) -> None:
    text = actor().replace(" End Site { OFFSET 0 0 0 }", " End Site { OFFSET 0 10 0 }", 1)
    (tmp_path / "actor.bvh").write_text(text)
    found = load_motion(tmp_path / "actor.bvh")
    names = found.skeleton.joints
    (end,) = [at for at, name in enumerate(names) if name.endswith(" end")]
    parent = found.skeleton.parents[end]
    assert names[end] == f"{names[parent]} end"
    rise = found.points[:, end] - found.points[:, parent]
    assert_close(rise, torch.tensor([0.0, 0.1, 0.0]).double().expand(3, 3), atol=1e-7, rtol=0)


def test_unknown_markers_are_connected_by_the_steadiest_sticks(tmp_path: Path) -> None:
    path = tmp_path / "plate.trc"
    path.write_text(MARKERS)
    found = load_motion(path)
    assert found.points[0].tolist() == [[0.0, 1.0, 0.0], [0.1, 1.0, 0.0], [0.2, 1.0, 0.0]]
    assert found.points[1, 2].isnan().all()
    sticks = {frozenset(pair) for pair in found.skeleton.bones}
    assert sticks == {frozenset((0, 1)), frozenset((1, 2))}


@pytest.mark.parametrize("up", ["z", "-y"])
def test_a_file_of_markers_lies_on_its_recording(tmp_path: Path, up: str) -> None:
    save_recording(tmp_path / "recording.npz", RECORDING)
    paths = [str(tmp_path / "recording.npz"), str(saved(tmp_path / "mine.trc", up))]
    scene = read_scene(paths, ReadSettings(), TriangulationSettings(), up=up)
    *_, truth, mine = scene.bodies
    known = mine.points.isfinite()
    assert_close(mine.points[known], truth.points.double()[known], atol=1e-5, rtol=0)


def test_files_of_motion_are_shown_alone(tmp_path: Path) -> None:
    main(["view", str(saved(tmp_path / "mine.trc")), "--out", str(tmp_path / "mine.png")])
    assert (tmp_path / "mine.png").stat().st_size > 5000
    assert not holds_motion(tmp_path / "mine.png")


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("PathFileType", "Path", "expected a TRC file, which begins with PathFileType"),
        ("\tmm\t", "\tfeet\t", "expected Units to be one of m, cm, mm, in, got 'feet'"),
        ("1100", "x", "expected a number, got 'x'"),
        ("middle", "left", "several of its markers have the same name: left"),
        ("(X/Y/Z)", "(X/Z/Y)", "expected the axes (X/Y/Z) in its first line, got '(X/Z/Y)'"),
        (
            "\nDataRate",
            "\nRate",
            "expected the frames per second (DataRate) in its header, got none",
        ),
        ("\t2\t3\tmm", "\tmany\t3\tmm", "line 3, NumFrames: expected a number, got 'many'"),
        ("middle", "", "line 5: expected the axes X, Y and Z of each of 2 markers, got 9 cells"),
        ("Y2\tZ2", "Z2\tY2", "line 5: expected the axes X, Y and Z of each of 3 markers"),
        ("Y2\tZ2", "Y7\tZ2", "of each of 3 markers, got 9 cells: X2, Y7, Z2; likely cause"),
        (
            "\t2\t3\tmm",
            f"\t2\t{'9' * 5000}\tmm",
            f": expected {20 * '9'} as in the header (NumMarkers)",
        ),
        ("\t200\t1000\t0", "\t200\t1000\t0\t7", "line 7: expected 9 numbers of 3 markers, got 10"),
        ("1100", "1_100", "line 8: expected a number, got '1_100'"),
        ("100.00", "0", "expected markers, frames and a frame rate, got 3, 2 and 0"),
    ],
)
def test_a_broken_trc_is_reported(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "plate.trc"
    path.write_text(MARKERS.replace(old, new, 1))
    with pytest.raises(ReadError) as refusal:
        load_motion(path)
    assert said in str(refusal.value)


@pytest.mark.rejects
def test_a_trc_without_tabs_is_named(tmp_path: Path) -> None:
    (tmp_path / "plate.trc").write_text(MARKERS.replace("\t", "  "))
    with pytest.raises(ReadError, match=r"expected tabs between the cells, got none"):
        load_motion(tmp_path / "plate.trc")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("100.00\t2\t3", "100.00\t1\t3", "its header has NumFrames 1, but 2 are there and read"),
        ("2\t3\tmm", "2\t2\tmm", "its header has NumMarkers 2, but 3 are there and read"),
        ("100.00\t100.00\t2", "50.00\t100.00\t2",
         "a row takes 0.01 s, by the frame rate it states, 50 per s, 0.02 s"),
        ("2\t0.010", "2\tnan", "plate.trc: the time of frame 2 is nan, no time"),
        ("1\t0.000", "1\t0.011", "the time goes back from 0.011 s in frame 1 to 0.01 s in frame 2"),
        ("\t1100\t", "\t1e308\t",
         "plate.trc, frame 1, joint left: a coordinate is 1e+305 m; taken as missing"),
        ("2\t0.010", "7\t0.010", "frame 7 follows frame 1; rows are taken for frames that follow"),
        ("0\t1100\t0\t100\t1100", "0\t0\t0\t100\t1100",
         "1 points are exactly at the origin, first left in frame 1"),
    ],
)  # fmt: skip
def test_what_a_trc_contradicts_is_noted(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "plate.trc"
    path.write_text(MARKERS)
    assert load_motion(path).notes == ()
    path.write_text(MARKERS.replace(old, new, 1))
    (note,) = load_motion(path).notes
    assert said in note
    (shown,) = notes_on_scene(read_scene([str(path)], ReadSettings(), TriangulationSettings()))
    assert shown == note


@pytest.mark.rejects
def test_a_body_of_no_usual_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "actor.bvh"
    path.write_text(actor(unit=1e4))
    with pytest.raises(ReadError, match=r"expected a body of 0\.1 to 5\.0 m, got .* in none of cm"):
        load_motion(path)


@pytest.mark.rejects
@pytest.mark.parametrize(("unit", "meters"), [("cm", 0.01), ("", 0.001), ("feet", None)])
def test_c3d_files_are_read_in_their_unit(tmp_path: Path, unit: str, meters: float | None) -> None:
    ezc3d = pytest.importorskip("ezc3d")
    path = saved(tmp_path / "walk.c3d")
    millimeters = load_motion(path).points
    file = ezc3d.c3d(str(path))
    file["parameters"]["POINT"]["UNITS"]["value"] = [unit]
    file.write(str(path))
    if meters is None:
        with pytest.raises(ReadError, match="expected POINT:UNITS to be one of m, cm, mm, in"):
            load_motion(path)
    else:
        found = load_motion(path).points
        assert_close(found, millimeters * meters / 0.001, equal_nan=True)


@pytest.mark.rejects
@pytest.mark.parametrize("suffix", [".trc", ".bvh"])
@settings(max_examples=40)
@given(damage=DAMAGES[".npz"])
def test_a_damaged_file_of_motion_is_refused_or_read(
    damage: BytesDamage, suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = saved(tmp_path_factory.mktemp("damaged") / f"walk{suffix}")
    damage.inflict(path)
    with suppress(ReadError):
        assert load_motion(path).points.dim() == 3


@pytest.mark.parametrize(
    ("change", "key"), [(("2\t3\tmm", "9\t3\tmm"), "NumFrames"), (("2\t3", "2\t4"), "NumMarkers")]
)
def test_markers_that_were_cut_off_are_refused(
    tmp_path: Path, change: tuple[str, str], key: str
) -> None:
    path = tmp_path / "plate.trc"
    path.write_text(MARKERS.replace(*change, 1))
    with pytest.raises(ReadError, match=rf"as in the header \({key}\), got .* is cut short"):
        load_motion(path)


@pytest.mark.parametrize("length", [100, 700, -1000])
def test_a_c3d_file_that_was_cut_off_is_refused_before_ezc3d_reads_it(
    tmp_path: Path, length: int
) -> None:
    pytest.importorskip("ezc3d")
    path = saved(tmp_path / "whole.c3d")
    assert len(load_motion(path).points) == RECORDING.frame_count
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ReadError, match=r"cut off|expected a C3D file, which begins"):
        require_whole_c3d(path)


def test_frames_after_those_that_a_c3d_file_can_count_are_named(tmp_path: Path) -> None:
    ezc3d = pytest.importorskip("ezc3d")
    file, path = ezc3d.c3d(), tmp_path / "long.c3d"
    file["parameters"]["POINT"]["RATE"]["value"] = [100.0]
    file["parameters"]["POINT"]["LABELS"]["value"] = ("a", "b")
    file["data"]["points"] = np.ones((4, 2, 66_000))
    file.write(str(path))
    (note,) = [note for note in load_motion(path).notes if "not read" in note]
    more = re.fullmatch(rf"{path}: about (\d+) frames after the first 65535 are not read: .*", note)
    assert more is not None
    assert 465 <= int(more[1]) <= 465 + 512 / 32


@pytest.mark.parametrize("suffix", [".trc", ".c3d", ".bvh"])
def test_the_subjects_of_a_file_of_several_are_named(tmp_path: Path, suffix: str) -> None:
    if suffix == ".c3d":
        pytest.importorskip("ezc3d")
    hips = tuple(f"{name}:{side}_hip" for name in ("Bob", "Eve") for side in ("left", "right"))
    path = tmp_path / f"two{suffix}"
    save_tracks(
        path, RECORDING.truth[:, :4], fps=30.0, coordinates="world", up="y", fill=suffix == ".bvh",
        skeleton=Skeleton("two", hips, (-1, 0, 0, 2), (), (0,)),
    )  # fmt: skip
    said = f"^{path}: expected one subject, got 2: Bob, Eve; write each to a file of its own"
    with pytest.raises(ReadError, match=said):
        load_motion(path)


def test_a_joint_twice_is_refused_with_the_file(tmp_path: Path) -> None:
    path = saved(tmp_path / "twice.bvh")
    names = [line.split()[1] for line in path.read_text().splitlines() if "JOINT" in line]
    path.write_text(path.read_text().replace(f"JOINT {names[1]}\n", f"JOINT {names[0]}\n"))
    with pytest.raises(ReadError, match=r"twice\.bvh, line \d+: expected joints of differ"):
        load_motion(path)


@pytest.mark.rejects
@pytest.mark.parametrize("first", [0, 1])
def test_a_c3d_file_whose_parameters_lie_in_its_header_is_refused(
    tmp_path: Path, first: int
) -> None:
    path = tmp_path / "walk.c3d"
    path.write_bytes(bytes([first, 0x50]) + b"\xff" * 510)
    with pytest.raises(ReadError, match="expected a C3D file, which begins with a header"):
        require_whole_c3d(path)


def test_a_table_of_tracks_that_a_spreadsheet_saved_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "walk.csv")
    expected = load_motion(path).points
    remark, *rows = path.read_text().splitlines()
    european = [row.replace(",", ";").replace(".", ",") for row in rows]
    path.write_text("\n".join([f"{remark};;;", *european]))
    assert_close(load_motion(path).points, expected, equal_nan=True)


@pytest.mark.rejects
def test_a_table_of_tracks_without_coordinates_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "walk.csv")
    remark, *_ = path.read_text().splitlines()
    for header, found in (("", ""), ("frame;time", "frame, time"), ("frame,time", "frame, time")):
        path.write_text(f"{remark}\n{header}\n")
        with pytest.raises(ReadError, match=f"expected the columns <joint>_x, .*, got '{found}'"):
            load_motion(path)


@pytest.mark.parametrize("suffix", [".CSV", ".NPZ"])
def test_tracks_may_have_a_suffix_in_capitals(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"walk{suffix.lower()}").rename(tmp_path / f"walk{suffix}")
    assert holds_motion(path)
    assert len(load_motion(path).points) == RECORDING.frame_count


def test_the_columns_of_a_table_of_tracks_are_found_by_their_names(tmp_path: Path) -> None:
    path = saved(tmp_path / "walk.csv")
    expected = load_motion(path)
    assert expected.notes == ()
    remark, *rows = path.read_text().splitlines()
    path.write_text("\n".join([remark, *(",".join(row.split(",")[::-1]) for row in rows)]))
    found = load_motion(path)
    assert_close(found.points, expected.points, equal_nan=True)
    path.write_text("\n".join([remark, rows[0], *rows[2:]]).replace("nose_x", "nase_x"))
    with pytest.raises(ReadError, match="columns of the joints in its first line, but nose_x are"):
        load_motion(path)
    path.write_text("\n".join([remark, *rows[:2], *rows[3:]]))
    (note,) = load_motion(path).notes
    assert "frame 2 follows frame 0; rows are taken for frames that follow each other" in note


@pytest.mark.parametrize("suffix", [".csv", ".trc", ".c3d"])
def test_a_file_that_begins_in_the_middle_of_a_recording_is_named(
    tmp_path: Path, suffix: str
) -> None:
    path = saved(tmp_path / f"walk{suffix}")
    if suffix == ".c3d":
        ezc3d = pytest.importorskip("ezc3d")
        file = ezc3d.c3d(str(path))
        file["header"]["points"]["first_frame"] = 2
        file.write(str(path))
    else:
        head = {".csv": 2, ".trc": 5}[suffix]
        lines = path.read_text().splitlines()
        lines = [line.replace(f"\t{RECORDING.frame_count}\t", "\t4\t") for line in lines]
        path.write_text("\n".join([*lines[:head], *lines[head + 2 :], ""]))
    number, first = (2, 0) if suffix == ".csv" else (3, 1)
    (note,) = load_motion(path).notes
    assert note.startswith(f"{path}: its first frame has the number {number}, usually {first}, and")
    assert note.endswith("its frames are shown 2 frames too early")


def test_a_table_of_tracks_that_is_cut_off_within_a_row_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "walk.csv")
    lines = path.read_text().splitlines()
    cells = len(lines[1].split(","))
    path.write_text("\n".join([*lines[:4], lines[4][:40]]))
    found = lines[4][:40].count(",") + 1
    said = f"walk.csv, line 5: expected {cells} cells, got {found}; likely cause: the file is cut"
    with pytest.raises(ReadError, match=said):
        load_motion(path)


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("column", "cell", "said"),
    [
        ("nose_x", "-", r"walk\.csv, line 5, column nose_x: expected a number, got '-'"),
        ("time", "soon", r"walk\.csv, line 5, column time: expected a number, got 'soon'"),
        ("nose_y", "1,5", r"walk\.csv, line 5: expected 53 cells, got 54; .* a comma in a number"),
    ],
)
def test_a_cell_that_is_no_number_is_named_with_its_line_and_column(
    tmp_path: Path, column: str, cell: str, said: str
) -> None:
    path = saved(tmp_path / "walk.csv")
    lines = path.read_text().splitlines()
    row = lines[4].split(",")
    row[lines[1].split(",").index(column)] = cell
    path.write_text("\n".join([*lines[:4], ",".join(row), *lines[5:]]))
    with pytest.raises(ReadError, match=said):
        load_motion(path)


@pytest.mark.parametrize("name", ["nose_x", " nose_x ", "time"])
def test_a_column_twice_is_refused(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / "walk.csv")
    remark, header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([remark, f"{header},{name}", *(f"{row},1.5" for row in rows)]))
    with pytest.raises(ReadError, match=f"several of its columns .* same name: {name.strip()}$"):
        load_motion(path)


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "expected 3D tracks of format 1, got format 2; a newer version of this"),
        ({"format": "1"}, "expected 3D tracks of format 1, got format '1'$"),
        ({"fps": None}, r"description\.fps: expected a number, got None"),
        ({"skeleton": []}, r"description\.skeleton: expected an object, got \[\]"),
        (
            {"skeleton": {"name": "\ud800x"}},
            r"description: expected text, without half a .*\\ud800x",
        ),
        ({"unit": "mm"}, r"description\.unit: expected m, got 'mm'"),
        ({"coordinates": "hip"}, r"description\.coordinates: expected world or camera or root"),
        ({}, r"expected frames x 17 joints x 3, got float32 of shape \(6, 3, 17\)"),
    ],
)
def test_an_archive_of_tracks_that_contradicts_itself_is_refused(
    tmp_path: Path, change: dict[str, str], said: str
) -> None:
    path = saved(tmp_path / "walk.npz")
    with np.load(path) as file:
        described, tracks = json.loads(str(file["description"])), file["tracks"]
    tracks = tracks if change else tracks.transpose(0, 2, 1)
    np.savez(path, description=np.array(json.dumps({**described, **change})), tracks=tracks)
    with pytest.raises(ReadError, match=said):
        load_motion(path)


def test_points_of_a_c3d_file_have_their_labels_from_all_lists(tmp_path: Path) -> None:
    ezc3d = pytest.importorskip("ezc3d")
    path = saved(tmp_path / "walk.c3d")
    file = ezc3d.c3d(str(path))
    labels = file["parameters"]["POINT"]["LABELS"]["value"]
    for second, said in ((labels[10:], 0), ([*labels[10:15], "", ""], 1)):
        file["parameters"]["POINT"]["LABELS"]["value"] = labels[:10]
        file.add_parameter("POINT", "LABELS2", second)
        file.write(str(path))
        found = load_motion(path)
        assert len(found.skeleton.joints) == 17
        assert [note.count("2 of 17 points have no label") for note in found.notes] == [1] * said


@pytest.mark.rejects
def test_an_axis_up_that_is_none_is_refused(tmp_path: Path) -> None:
    ezc3d = pytest.importorskip("ezc3d")
    path = saved(tmp_path / "walk.c3d")
    file = ezc3d.c3d(str(path))
    file["parameters"]["POINT"]["Y_SCREEN"]["value"] = ["up"]
    file.write(str(path))
    with pytest.raises(ReadError, match=r"POINT:Y_SCREEN.*expected an axis such as"):
        load_motion(path)
