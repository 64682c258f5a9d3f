"""The table of one camera, written frame by frame: what is written survives an interruption.

While it grows, the table is a file beside its later place, with the suffix `.partial`, which no
reader takes for detections. A frame is written at once, with everybody in it; a frame without a
person is a row without coordinates.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
from jaxtyping import Float32

from selfsup_lifting.atomic_write import replacing
from selfsup_lifting.detection.videos import Video
from selfsup_lifting.skeleton.skeletons import SKELETONS

JOINTS = SKELETONS["blazepose33"].joints
COLUMNS = [f"{joint}_{part}" for joint in JOINTS for part in ("x", "y", "confidence")]
HEADER = ",".join(["frame", "time", "person", *COLUMNS])


class TrackTable(NamedTuple):
    """The table of one camera.

    Attributes:
        video: The video of the camera.
        path: The file of the finished table.
        remark: The first line: what was detected, and how.
    """

    video: Video
    path: Path
    remark: str

    @property
    def partial(self) -> Path:
        """The file while it grows."""
        return self.path.with_suffix(f"{self.path.suffix}.partial")

    def is_finished(self) -> bool:
        """Return whether the file of the finished table is one, of any video."""
        if not self.path.is_file():
            return False
        with self.path.open(encoding="utf-8", errors="replace") as file:
            return [file.readline() for _ in range(2)][1] == f"{HEADER}\n"

    def written(self) -> int:
        """Return how many frames are complete; the last one may not be.

        Raises:
            ValueError: If the table was begun for another video or with other settings.
        """
        rows = self._rows()
        return _frame(rows[-1]) if rows else 0

    def resume(self) -> int:
        """Drop what may be incomplete, and return how many frames are complete."""
        count = self.written()
        if self.partial.exists():
            kept = [row for row in self._rows() if _frame(row) < count]
            self.partial.write_text("".join([*self._beginning(), *kept]), encoding="utf-8")
        return count

    @contextmanager
    def appended(self) -> Iterator[TextIO]:
        """Open the growing table for more frames."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.partial.exists():
            self.partial.write_text("".join(self._beginning()), encoding="utf-8")
        with self.partial.open("a", encoding="utf-8") as file:
            yield file

    def write(
        self, file: TextIO, frame: int, people: Sequence[Float32[np.ndarray, "joints 3"]]
    ) -> None:
        """Write the people of a frame at once; what lies outside of the picture is missing."""
        time = f"{frame / self.video.fps:.4f}" if self.video.fps > 0 else ""
        nobody = [""] * len(COLUMNS)
        found = [[*_cells(person, self.video.image_size)] for person in people] or [nobody]
        file.write("".join(f"{','.join([str(frame), time, '', *cells])}\n" for cells in found))
        file.flush()

    def finish(self, frames: int) -> None:
        """Write the finished table: the first frames of the growing one."""
        kept = [row for row in self._rows() if _frame(row) < frames]
        with replacing(self.path) as temporary:
            temporary.write_text("".join([*self._beginning(), *kept]), encoding="utf-8")

    def _rows(self) -> list[str]:
        """Return the complete lines of the growing table, below its beginning."""
        if not self.partial.exists():
            return []
        lines = self.partial.read_text(encoding="utf-8").splitlines(keepends=True)
        complete = [line for line in lines if line.endswith("\n")]
        if complete[:2] != self._beginning()[: len(complete)]:
            raise ValueError(
                f"{self.partial} was begun for another video or with other settings: "
                f"{complete[0].strip()}; --overwrite begins anew"
            )
        return complete[2:]

    def _beginning(self) -> list[str]:
        return [f"# {self.remark}\n", f"{HEADER}\n"]


def _frame(row: str) -> int:
    return int(row.partition(",")[0])


def _cells(person: Float32[np.ndarray, "joints 3"], image_size: tuple[int, int]) -> Iterator[str]:
    width, height = image_size
    for x, y, score in person.tolist():
        inside = 0 <= x <= 1 and 0 <= y <= 1
        numbers = (f"{x * width:.2f}", f"{y * height:.2f}", f"{score:.3f}")
        yield from numbers if inside else ("", "", "")
