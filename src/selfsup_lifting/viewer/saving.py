"""Save a scene as the kind of file that its suffix names."""

from collections.abc import Callable
from pathlib import Path

from selfsup_lifting.atomic_write import require_target
from selfsup_lifting.plots.style import plain_style
from selfsup_lifting.viewer.page import save_page
from selfsup_lifting.viewer.pictures import (
    MOST_VIEWS,
    require_ffmpeg,
    save_animation,
    save_picture,
    shown_frames,
)
from selfsup_lifting.viewer.rerun_file import require_rerun, save_rerun
from selfsup_lifting.viewer.scene import Scene

KINDS = (".html", ".png", ".gif", ".mp4", ".rrd")


def require_view(path: Path, *, overwrite: bool) -> None:
    """Refuse a file that cannot be written, before any work is done."""
    if path.suffix not in KINDS:
        raise ValueError(f"{path}: views are written as {', '.join(KINDS)}, not {path.suffix!r}")
    require_target(path, overwrite=overwrite)
    require_ffmpeg(path)
    if path.suffix == ".rrd":
        require_rerun(path)


def save_view(path: Path, scene: Scene, *, done: Callable[[], None] = lambda: None) -> None:
    """Save a scene as a page, a picture, an animation, a video or a recording of Rerun.

    Args:
        path: The file; its suffix chooses the kind, and an existing file is replaced.
        scene: What to show.
        done: Called after every image.

    Raises:
        ValueError: If the program ffmpeg or the library rerun is needed and not installed.
    """
    if path.suffix == ".html":
        save_page(path, scene)
        done()
    elif path.suffix == ".rrd":
        save_rerun(path, scene, done=done)
    else:
        save = save_picture if path.suffix == ".png" else save_animation
        with plain_style():
            save(path, scene, done=done)


def about_view(path: Path, scene: Scene) -> str:
    """Describe in a few words what a file shows."""
    count = scene.frame_count
    if path.suffix == ".html":
        return f"{count} frames; open it in a browser"
    if path.suffix == ".rrd":
        return f"{count} frames; open it with: rerun {path}"
    views = 0 if scene.cameras is None else len(scene.videos) or scene.cameras.views
    few = f"; the first {MOST_VIEWS} of {views} cameras are in it" * (views > MOST_VIEWS)
    if path.suffix == ".png":
        return f"frame {scene.first + count // 2}{few}"
    shown = shown_frames(path, scene)
    images, last = len(shown), shown[-1] + 1
    cut = "" if last + shown.step > count else f" of {count}; --frames chooses others"
    if images == 1:
        return f"1 image of frame {scene.first}{cut}{few}"
    return f"{images} images of the frames {scene.first} to {scene.first + last - 1}{cut}{few}"
