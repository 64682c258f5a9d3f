"""Ways in which files go wrong, drawn as named numbers."""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
from hypothesis import strategies as st

# What may stand where a number, a list or an object should.
ODDITIES = (
    None, True, "text", "", [], {}, [[]], -1, 0, 1e300, float("nan"), float("inf"), -float("inf"),
    100_000_000, 0.5, [1, 2], {"a": 1}, "12.jpg",
)  # fmt: skip


@dataclass(frozen=True)
class Files:
    """A file, or a folder with all that is in it, kept in memory to be damaged often."""

    name: str
    contents: dict[str, bytes]
    """By the path, within the folder that holds it."""

    @classmethod
    def of(cls, path: Path) -> "Files":
        inside = (one for one in (path, *path.rglob("*")) if one.is_file())
        names = {one.relative_to(path.parent).as_posix(): one.read_bytes() for one in inside}
        return cls(path.name, names)

    @contextmanager
    def copied(self, place: Path) -> Iterator[Path]:
        """Write them to a folder of their own: readers look at what lies beside them too."""
        with TemporaryDirectory(dir=place) as home:
            for name, content in self.contents.items():
                file = Path(home, name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            yield Path(home, self.name)


@dataclass(frozen=True)
class BytesDamage:
    """Bytes lost, replaced or added at a share of the file."""

    kind: str = "cut"
    place: float = 0.5
    value: int = 0

    def inflict(self, path: Path) -> None:
        content = bytearray(path.read_bytes())
        at = int(self.place * max(0, len(content) - 1))
        if self.kind == "cut":
            content = content[:at]
        elif self.kind == "replace" and content:
            content[at] = self.value
        elif self.kind == "insert":
            content[at:at] = bytes([0xFF, self.value])
        elif self.kind == "double":
            content += content[at:]
        path.write_bytes(bytes(content))


@dataclass(frozen=True)
class JsonDamage:
    """One value of a JSON file lost, doubled, turned round or replaced by an oddity."""

    kind: str = "replace"
    steps: tuple[int, ...] = ()
    oddity: int = 0

    def inflict(self, path: Path) -> None:
        content = json.loads(path.read_text())
        holder = {"all": content}
        parent, key = self._place(holder)
        if self.kind == "replace":
            parent[key] = ODDITIES[self.oddity % len(ODDITIES)]
        elif self.kind == "lose":
            del parent[key]
        elif self.kind == "double" and isinstance(parent, list):
            parent.insert(key, copy.deepcopy(parent[key]))
        elif self.kind == "reverse" and isinstance(parent[key], list):
            parent[key] = parent[key][::-1]
        path.write_text(json.dumps(holder.get("all")))

    def _place(self, holder: dict[str, Any]) -> tuple[Any, Any]:
        """Walk down the tree, as far as the steps lead."""
        parent, key = holder, "all"
        for step in self.steps:
            value = parent[key]
            if not isinstance(value, list | dict) or not value:
                break
            keys = list(value) if isinstance(value, dict) else range(len(value))
            parent, key = value, keys[step % len(keys)]
        return parent, key


@dataclass(frozen=True)
class CsvDamage:
    """One cell or row of a CSV lost, doubled, moved or replaced by an oddity."""

    kind: str = "cell"
    row: int = 0
    column: int = 0
    oddity: str = ""

    def inflict(self, path: Path) -> None:
        rows = [line.split(",") for line in path.read_text().splitlines()]
        row = self.row % len(rows)
        column = self.column % len(rows[row])
        if self.kind == "cell":
            rows[row][column] = self.oddity
        elif self.kind == "lose cell":
            del rows[row][column]
        elif self.kind == "lose row":
            del rows[row]
        elif self.kind == "double row":
            rows.insert(row, rows[row])
        elif self.kind == "reverse":
            rows = rows[:5] + rows[5:][::-1]
        path.write_text("\n".join(",".join(cells) for cells in rows) + "\n")


@dataclass(frozen=True)
class H5Damage:
    """One dataset of an HDF5 file lost, cut, transposed, retyped or spoiled."""

    kind: str = "lose"
    which: int = 0
    value: float = float("nan")

    def inflict(self, path: Path) -> None:
        with h5py.File(path, "r+") as file:
            names: list[str] = []
            file.visititems(
                lambda name, item: names.append(name) if hasattr(item, "dtype") else None
            )
            name = names[self.which % len(names)]
            values, attributes = file[name][()], dict(file[name].attrs)
            del file[name]
            if self.kind != "lose":
                file[name] = self._spoiled(np.asarray(values))
                if self.kind != "bare":
                    file[name].attrs.update(attributes)

    def _spoiled(self, values: np.ndarray) -> np.ndarray:
        if self.kind == "cut":
            return values[: len(values) // 2]
        if self.kind == "transpose":
            return values.T
        if self.kind == "text":
            return np.array(b"text")
        if self.kind == "fill" and values.dtype.kind == "f":
            return np.full_like(values, self.value)
        return values


shares = st.floats(0, 1)
oddities = st.integers(0, len(ODDITIES) - 1)
bytes_damages = st.builds(
    BytesDamage,
    kind=st.sampled_from(["cut", "replace", "insert", "double"]),
    place=shares,
    value=st.integers(0, 255),
)
json_damages = st.builds(
    JsonDamage,
    kind=st.sampled_from(["replace", "lose", "double", "reverse"]),
    steps=st.lists(st.integers(0, 5), max_size=6).map(tuple),
    oddity=oddities,
)
csv_damages = st.builds(
    CsvDamage,
    kind=st.sampled_from(["cell", "lose cell", "lose row", "double row", "reverse"]),
    row=st.integers(0, 9),
    column=st.integers(0, 60),
    oddity=st.sampled_from(["", "nan", "inf", "-1e300", "text", "100000000", "0.5", "\u00fc", '"']),
)
h5_damages = st.builds(
    H5Damage,
    kind=st.sampled_from(["lose", "cut", "transpose", "text", "fill", "bare"]),
    which=st.integers(0, 9),
    value=st.sampled_from([float("nan"), float("inf"), -1e30, 0.0, 0.5]),
)
DAMAGES = {
    ".json": st.one_of(bytes_damages, json_damages),
    ".csv": st.one_of(bytes_damages, csv_damages),
    ".h5": st.one_of(bytes_damages, h5_damages),
    ".npz": bytes_damages,
    ".npy": bytes_damages,
    ".txt": bytes_damages,
}
