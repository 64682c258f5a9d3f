"""The command that detects people in videos."""

from selfsup_lifting.cli.detect_options import DetectOptions
from selfsup_lifting.cli.output import messages, print_json, results
from selfsup_lifting.cli.progress import show_progress
from selfsup_lifting.cli.tables import plain_table
from selfsup_lifting.detection.detect import detect_people, tables_of
from selfsup_lifting.detection.mediapipe_pose import find_detector
from selfsup_lifting.detection.videos import open_videos


def detect(options: DetectOptions) -> None:
    """Detect people in videos, and write one table of tracks per camera."""
    if not options.videos:
        raise ValueError("`detect` needs one video per camera, got none")
    if options.most_people < 1:
        raise ValueError(f"`most-people` must be at least 1, got {options.most_people}")
    videos = open_videos(options.videos)
    folders = [*dict.fromkeys(video.path.parent for video in videos)]
    detector = find_detector(options.model, folders, options.most_people)
    tables = tables_of(videos, options.out, detector, overwrite=options.overwrite)
    done, total = (
        sum(table.written() for table in tables),
        sum(video.frame_count for video in videos),
    )
    if done:
        messages.print(f"{options.out} has {done} of {total} frames; the others follow")
    try:
        with show_progress(total, done, "frame") as show:
            found = detect_people(tables, detector, show)
    except KeyboardInterrupt:
        saved = sum(table.written() for table in tables)
        messages.print(f"{options.out} holds {saved} frames; the same command continues")
        raise
    for note in found.notes:
        messages.print(f"warning: {note}")
    if options.json:
        print_json(
            {"folder": str(options.out), "frames": found.frames, "with_people": found.with_people}
        )
        return
    rows = [(camera, f"{count / found.frames:.1%}") for camera, count in found.with_people.items()]
    headings = ("camera", f"of {found.frames} frames")
    results.print(plain_table("People were found in", headings, *rows))
    results.print(
        f"next: selfsup-lifting triangulate {options.out} --cameras CALIBRATION --out points.trc",
        soft_wrap=True,
    )
