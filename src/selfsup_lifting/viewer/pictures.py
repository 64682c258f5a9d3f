"""Save a scene as a picture (PNG), an animation (GIF) or a video (MP4)."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CalledProcessError
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from selfsup_lifting.atomic_write import replacing
from selfsup_lifting.plots.colors import BONE_COLORS, body_color, series_color
from selfsup_lifting.plots.poses import bones_by_side, fit_box
from selfsup_lifting.plots.rig import image_sizes
from selfsup_lifting.skeleton.skeletons import Skeleton
from selfsup_lifting.upright import z_up
from selfsup_lifting.viewer.scene import Scene

if TYPE_CHECKING:
    from matplotlib.animation import AbstractMovieWriter
    from matplotlib.axes import Axes
    from matplotlib.gridspec import SubplotSpec
    from mpl_toolkits.mplot3d import Axes3D

# Inches and pixels per inch: 960 by 540 pixels, even numbers as videos need.
SIZE, DPI = (9.6, 5.4), 100
# At most so many cameras are shown beside the space.
MOST_VIEWS = 4
# Images per second, and at most so many of them in a GIF, whose size grows with each.
FPS = {".gif": 12.5, ".mp4": 25.0}
MOST_IMAGES = {".gif": 250, ".mp4": 2500}
# Empty space around the subject in a camera's picture, as a share of its size there.
MARGIN = 0.25
# Degrees.
ELEVATION, AZIMUTH = 12.0, 35.0


def save_picture(path: Path, scene: Scene, *, done: Callable[[], None] = lambda: None) -> None:
    """Save one frame of a scene, the middle one, as a picture.

    Args:
        path: The file, `.png`; an existing file is replaced.
        scene: What to show.
        done: Called at the end.
    """
    middle = scene.frame_count // 2
    picture = Picture(scene, range(middle, middle + 1))
    picture.show(middle)
    with replacing(path) as temporary:
        picture.figure.savefig(temporary, dpi=DPI)
    done()


def save_animation(path: Path, scene: Scene, *, done: Callable[[], None] = lambda: None) -> None:
    """Save a scene as an animation in real time.

    Args:
        path: The file, `.gif` or `.mp4`; an existing file is replaced.
        scene: What to show; of a long one, the beginning is shown.
        done: Called after every image.

    Raises:
        ValueError: If a video is asked for, and the program ffmpeg is not installed.
    """
    require_ffmpeg(path)
    frames = shown_frames(path, scene)
    picture, writer = Picture(scene, frames), _writer(path, scene.fps / frames.step)
    with replacing(path) as temporary:
        try:
            with writer.saving(picture.figure, str(temporary), DPI):
                for frame in frames:
                    picture.show(frame)
                    writer.grab_frame()
                    done()
        except (CalledProcessError, BrokenPipeError, PermissionError) as error:
            if path.suffix != ".mp4":
                raise
            raise OSError(f"{path} cannot be written: ffmpeg failed: {_cause(error)}") from error
        if not temporary.exists() or temporary.stat().st_size == 0:
            raise OSError(f"{path} cannot be written: ffmpeg wrote nothing")


def _cause(error: CalledProcessError | OSError) -> str:
    """Return the last line of what ffmpeg said, or how it ended."""
    said = error.stderr if isinstance(error, CalledProcessError) else None
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    if text and text.strip():
        return text.strip().splitlines()[-1]
    if isinstance(error, CalledProcessError):
        return f"it ended with the status {error.returncode}"
    return str(error.strerror)


def require_ffmpeg(path: Path) -> None:
    """Refuse a video if the program that writes it is not installed."""
    if path.suffix == ".mp4" and shutil.which("ffmpeg") is None:
        raise ValueError(f"{path}: ffmpeg writes videos, and is not installed; a .gif needs none")


def shown_frames(path: Path, scene: Scene) -> range:
    """Return the frames that a file of this kind shows."""
    if path.suffix not in FPS:
        return range(1)
    step = _step(path, scene)
    return range(0, min(scene.frame_count, step * MOST_IMAGES[path.suffix]), step)


class Picture:
    """A scene in a matplotlib figure: space on the left, the cameras on the right.

    Where there are videos, only their cameras are shown, larger, and the skeletons are projected
    into them.

    Attributes:
        figure: The figure.
    """

    def __init__(self, scene: Scene, frames: range = range(0)) -> None:
        """Draw what does not move.

        Args:
            scene: The scene.
            frames: The frames that will be shown, in this order, for the pictures of videos.
        """
        from matplotlib.figure import Figure

        self._scene = scene
        self.figure: Figure = Figure(figsize=SIZE, layout="constrained")
        views = _shown_views(scene)
        columns = (len(views) + 1) // 2
        width = _columns_of_a_view(scene)
        grid = self.figure.add_gridspec(2, 3 + width * columns)
        self._bodies = self._draw_space(grid[:, :3])
        self._views = []
        for place, view in enumerate(views):
            row, column = divmod(place, columns)
            rows = slice(None) if len(views) == 1 else row
            start = 3 + width * column
            self._views.append(self._draw_view(view, grid[rows, start : start + width], frames))

    def show(self, frame: int) -> None:
        """Move everything to where it is in a frame."""
        for body, lines in zip(self._scene.bodies, self._bodies, strict=True):
            standing = z_up(body.points[frame], self._scene.up)
            for side, bones in bones_by_side(standing, body.skeleton).items():
                lines[side].set_data_3d(*bones.T.cpu().numpy())
        for view in self._views:
            view.show(frame)
        seconds = (frame + self._scene.first) / self._scene.fps
        self.figure.suptitle(f"{self._scene.title}, {seconds:.2f} s", fontsize=10)

    def _draw_space(self, place: "SubplotSpec") -> list[dict[str, Any]]:
        axes = self.figure.add_subplot(place, projection="3d")
        fit_box(axes, torch.stack(self._scene.box()))
        axes.view_init(elev=ELEVATION, azim=AZIMUTH)
        axes.tick_params(labelsize=7)
        axes.set_zlabel("[m]", fontsize=7, labelpad=-1)
        bodies = [
            _empty_lines(axes, body_color(number)) for number in range(len(self._scene.bodies))
        ]
        for body, lines in zip(self._scene.bodies, bodies, strict=True):
            lines["left"].set_label(body.name)
        if len(bodies) > 1:
            axes.legend(fontsize=8, frameon=False, loc="upper left")
        return bodies

    def _draw_view(self, view: int, place: "SubplotSpec", frames: range) -> "CameraView":
        axes, recordings = self.figure.add_subplot(place), self._scene.recordings
        cameras = recordings[0].cameras
        name, size = cameras.names[view], image_sizes(cameras)[view]
        pixels = torch.cat([one.keypoints[:, view].flatten(0, 1) for one in recordings])
        film = self._scene.videos.get(name)
        (left, top), (right, bottom) = _whole(size) if film else _crop(pixels, size)
        axes.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[])
        axes.set_aspect("equal")
        axes.set_title(name, fontsize=8, color=series_color(view))
        tracks = [
            Drawn(one.keypoints[:, view], one.skeleton, _empty_lines(axes, None))
            for one in recordings
        ]
        if film is None:
            return CameraView(tracks, None, iter(()))
        tracks += [
            Drawn(body.projected(cameras)[:, view], body.skeleton, _dashed_lines(axes, number))
            for number, body in enumerate(self._scene.bodies)
        ]
        background = axes.imshow([[[0.0, 0.0, 0.0]]], extent=(left, right, bottom, top))
        axes.set(xlim=(left, right), ylim=(bottom, top))
        numbers = (frame + self._scene.first for frame in frames)
        return CameraView(tracks, background, film.pictures(numbers))


class Drawn(NamedTuple):
    """A skeleton in the picture of a camera, and the lines of its sides."""

    pixels: Float[Tensor, "frames joints 2"]
    skeleton: Skeleton
    lines: dict[str, Any]


class CameraView(NamedTuple):
    """The picture of one camera: skeletons, and a video below them if there is one."""

    drawn: list[Drawn]
    background: Any
    film: Iterator[UInt8[np.ndarray, "height width rgb"]]

    def show(self, frame: int) -> None:
        """Move the skeletons, and show the next picture of the video; after its end, the last."""
        for pixels, skeleton, lines in self.drawn:
            for side, bones in bones_by_side(pixels[frame], skeleton).items():
                lines[side].set_data(*bones.T.tolist())
        picture = next(self.film, None)
        if picture is not None:
            self.background.set_data(picture)


def _shown_views(scene: Scene) -> list[int]:
    """Return the cameras that are shown: those with a video, or else the first ones."""
    names = () if scene.cameras is None else scene.cameras.names
    filmed = [view for view, name in enumerate(names) if name in scene.videos]
    return (filmed or [*range(len(names))])[:MOST_VIEWS]


def _columns_of_a_view(scene: Scene) -> int:
    """Return how many columns of the grid a camera takes; space takes three."""
    if not scene.videos:
        return 1
    return 4 if len(_shown_views(scene)) == 1 else 2


def _dashed_lines(axes: "Axes | Axes3D", number: int) -> dict[str, Any]:
    lines = _empty_lines(axes, body_color(number))
    for line in lines.values():
        line.set_linestyle("--")
    return lines


def _whole(size: Float[Tensor, "2"]) -> tuple[tuple[float, float], tuple[float, float]]:
    width, height = size.tolist()
    return (-0.5, -0.5), (width - 0.5, height - 0.5)


def _empty_lines(axes: "Axes | Axes3D", color: str | None) -> dict[str, Any]:
    """Add a line for the bones of each side."""
    return {
        side: axes.plot(*([[]] * (3 if hasattr(axes, "zaxis") else 2)),
                        color=color or BONE_COLORS[side], linewidth=1.8)[0]
        for side in BONE_COLORS
    }  # fmt: skip


def _crop(
    pixels: Float[Tensor, "points 2"], size: Float[Tensor, "2"]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the first and last corner of the part of an image that the subject moves in."""
    known = pixels[pixels.isfinite().all(dim=-1)].double()
    if not len(known):
        return (0.0, 0.0), (float(size[0]), float(size[1]))
    low, high = known.amin(dim=0), known.amax(dim=0)
    margin = (MARGIN * (high - low).amax()).clamp(min=1.0)  # all at one place have no size
    low, high = (low - margin).clamp(min=0), torch.minimum(high + margin, size)
    return (float(low[0]), float(low[1])), (float(high[0]), float(high[1]))


def _step(path: Path, scene: Scene) -> int:
    """Return which frames are shown: every one, every second and so on."""
    return max(1, round(scene.fps / FPS[path.suffix]))


def _writer(path: Path, fps: float) -> "AbstractMovieWriter":
    from matplotlib.animation import FFMpegWriter, PillowWriter

    kind = PillowWriter if path.suffix == ".gif" else FFMpegWriter
    return kind(fps=fps)  # type: ignore[arg-type] # a whole number says matplotlib, which needs none
