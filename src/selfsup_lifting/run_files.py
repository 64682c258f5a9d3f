"""The files of a run: committed together, and checked when they are read.

A checkpoint changes several files. The new contents are first written beside the old files, as
`NAME.next`. Then checkpoint.json, which lists the size and the hash of every file, is replaced in
one step: this is the commit. At last the new files get their names. So checkpoint.json always
describes complete files, wherever the writer is killed: they have their names, or still the names
`NAME.next`.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path, PureWindowsPath

from selfsup_lifting.atomic_write import (
    COMMIT_FILE,
    REPORT_FILE,
    replace_file,
    sync_file,
    sync_folder,
    write_synced,
)

WEIGHTS_FILE = "model.safetensors"
BEST_FILE = "best.safetensors"
STATE_FILE = "state.pt"
CONFIG_FILE = "config.toml"
METRICS_FILE = "metrics.jsonl"
# The files of every run, beside its curves.
OWN_FILES = (
    WEIGHTS_FILE, BEST_FILE, STATE_FILE, CONFIG_FILE, METRICS_FILE, COMMIT_FILE, REPORT_FILE,
)  # fmt: skip

NEXT = ".next"
FORMAT = "selfsup-lifting run 1"

# TensorBoard appends to these files, so only their committed beginning is checked.
GROWING = "events"
_CURVES = re.compile(rf"{GROWING}\.out\.tfevents\.\d{{16,}}\.\d+")

# Locked by the process that writes to the run.
LOCK_FILE = ".lock"

CAUSES = "likely causes: an incomplete copy of the run, a disk error, or an edit by hand"

# A run has seven files of its own, one for each time that it was started, and those of a caller.
MOST_FILES = 10_000

# A training may commit while another process reads the run.
ATTEMPTS = 5

# How deep runs are in the folder of an ablation, which somebody may take for a run.
INSIDE = ("*", "*/*")


@dataclass(frozen=True)
class Content:
    """Size [bytes] and hash of a file."""

    size: int
    sha256: str

    @classmethod
    def of(cls, content: bytes) -> "Content":
        """Measure a content."""
        return cls(len(content), sha256(content).hexdigest())


@dataclass(frozen=True)
class Commit:
    """A checkpoint: the finished epochs, the finished steps of the next epoch, and the files."""

    epoch: int
    step: int
    files: Mapping[str, Content]

    def as_text(self) -> str:
        """Return the content of checkpoint.json, with a hash of its own."""
        files = {name: asdict(content) for name, content in self.files.items()}
        plain = {"format": FORMAT, "epoch": self.epoch, "step": self.step, "files": files}
        own = sha256(json.dumps(plain).encode()).hexdigest()
        return json.dumps({**plain, "sha256": own}, indent=1) + "\n"


def require_run_folder(run: Path) -> None:
    """Raise a ValueError if the path is no folder."""
    if run.is_file():
        raise ValueError(f"{run} is a file; expected a run folder, as `train` writes it")
    if not run.is_dir():
        raise ValueError(f"there is no run folder {run}")


def has_commit(run: Path) -> bool:
    """Return whether a folder holds a run with a checkpoint."""
    return (run / COMMIT_FILE).is_file()


def read_commit(run: Path) -> Commit:
    """Read checkpoint.json of a run.

    Raises:
        ValueError: If the folder or the file does not exist, or the file is damaged.
    """
    require_run_folder(run)
    path = run / COMMIT_FILE
    if not path.is_file():
        inside = sorted(one for depth in INSIDE for one in run.glob(f"{depth}/{COMMIT_FILE}"))
        runs = f"; there are runs in it, such as {inside[0].parent}" if inside else ""
        raise ValueError(
            f"{run}: no checkpoint here; expected a run folder with {COMMIT_FILE}{runs}"
        )
    content = path.read_bytes()
    try:
        plain = json.loads(content)
        files = {name: Content(**one) for name, one in plain["files"].items()}
        found = Commit(plain["epoch"], plain["step"], files)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise ValueError(
            f"{path} is damaged: expected JSON with `epoch`, `step` and `files`; {CAUSES}"
        ) from None
    if plain.get("format") != FORMAT:
        raise ValueError(f"{path}: expected the format {FORMAT!r}, got {plain.get('format')!r}")
    if len(files) > MOST_FILES:
        raise ValueError(f"{path}: expected at most {MOST_FILES} files, got {len(files)}")
    if found.as_text().encode() != content:
        raise ValueError(f"{path} is damaged: it does not match its own hash; {CAUSES}")
    for name in files:
        if name != PureWindowsPath(name).name or name in {"", ".."} or "\0" in name:
            raise ValueError(f"{path}: expected names of files in its folder, got {name!r}")
    return found


def read_committed(run: Path, name: str) -> bytes:
    """Read a file of a run, and check it.

    Args:
        run: The run folder.
        name: The name of the file.

    Returns:
        The content that the last checkpoint committed.

    Raises:
        ValueError: If there is no such file, or it is not the one that was committed.
    """
    for _ in range(ATTEMPTS):
        commit = read_commit(run)
        if name not in commit.files:
            raise ValueError(f"{run}: this run has no {name}")
        for path in (run / name, run / f"{name}{NEXT}"):
            content = _committed_part(path, commit.files[name])
            if content is not None:
                return content
    raise ValueError(f"{run / name} is damaged: {_difference(run / name, commit.files[name])}")


def require_undamaged(run: Path) -> Commit:
    """Check every file of a run; raise a ValueError that names the first damaged one."""
    commit = read_commit(run)
    for name in commit.files:
        read_committed(run, name)
    return commit


def commit_files(
    run: Path, last: Commit | None, new: Commit, contents: Mapping[str, bytes]
) -> Commit:
    """Commit new contents together: after a crash at any moment, all of them are there or none.

    Args:
        run: The run folder.
        last: The checkpoint whose other files are kept; None removes the files of an older run.
        new: The new epoch and step, and those new files that are already written.
        contents: The new files to write, by name.

    Returns:
        The checkpoint.

    Raises:
        OSError: If a file cannot be written; the last checkpoint stays valid.
    """
    kept = last.files if last else {}
    older = read_commit(run).files if last is None and has_commit(run) else {}
    measured = {name: Content.of(content) for name, content in contents.items()}
    changed = [name for name in measured if measured[name] != kept.get(name)]
    commit = Commit(new.epoch, new.step, {**kept, **new.files, **measured})
    _write_next(run, {**{name: contents[name] for name in changed}, COMMIT_FILE: commit.as_text()})
    replace_file(run / f"{COMMIT_FILE}{NEXT}", run / COMMIT_FILE)
    sync_folder(run)
    for name in changed:
        replace_file(run / f"{name}{NEXT}", run / name)
    if last is None:
        _delete_older(run, {*older, REPORT_FILE} - {*commit.files})
    sync_folder(run)
    return commit


def grown_files(run: Path, names: Sequence[str]) -> dict[str, Content]:
    """Wait until files that other code appended to are on the disk, and measure them."""
    for name in names:
        sync_file(run / name)
    return {name: Content.of((run / name).read_bytes()) for name in names}


def is_own(name: str) -> bool:
    """Return whether a run may itself write a file of this name, in capitals or not."""
    plain = name.lower()
    return plain in {*OWN_FILES, LOCK_FILE} or plain.endswith(NEXT) or plain.startswith(GROWING)


def is_leftover(name: str, committed: Collection[str] = ()) -> bool:
    """Return whether a killed training may have left a file of this name; others are a user's.

    Args:
        name: The name.
        committed: The files of the last checkpoint.
    """
    if name.endswith(NEXT):
        return name.removesuffix(NEXT) in {*OWN_FILES, *committed}
    return name == LOCK_FILE or (name not in committed and bool(_CURVES.fullmatch(name)))


def recover(run: Path) -> list[str]:
    """Finish the commit of a writer that was killed, and delete what it left behind.

    Call it only while no other process writes to the run.

    Returns:
        A sentence for each thing that was done.
    """
    commit = read_commit(run) if has_commit(run) else Commit(0, 0, {})
    left = [path for path in sorted(run.iterdir()) if is_leftover(path.name, commit.files)]
    done = [_resolve(path, commit) for path in left if path.name.endswith(NEXT)]
    for path in sorted(run.glob(f"{GROWING}*")):
        if path in left:
            path.unlink()
            done.append(f"deleted {path}, which belongs to no checkpoint")
        elif path.name not in commit.files:
            continue
        elif path.is_symlink():
            raise ValueError(f"{path} is a link, and would be written to: delete it")
        elif path.stat().st_size > commit.files[path.name].size:
            with path.open("r+b") as file:
                file.truncate(commit.files[path.name].size)
    return done


def _write_next(run: Path, contents: Mapping[str, bytes | str]) -> None:
    """Write files under their temporary names; if one cannot be written, delete all of them."""
    try:
        for name, content in contents.items():
            encoded = content.encode() if isinstance(content, str) else content
            write_synced(run / f"{name}{NEXT}", encoded)
        sync_folder(run)
    except OSError:
        for name in contents:
            (run / f"{name}{NEXT}").unlink(missing_ok=True)
        raise


def _delete_older(run: Path, names: Collection[str]) -> None:
    """Delete the files of an older run in this folder; a user's files beside them stay."""
    for name in names:
        (run / name).unlink(missing_ok=True)


def _committed_part(path: Path, expected: Content) -> bytes | None:
    """Return the content of a file if it is the expected one; pipes and devices are not opened."""
    if not path.is_file() or not _has_size(path, expected):
        return None
    with path.open("rb") as file:
        content = file.read(expected.size)
    return content if Content.of(content) == expected else None


def _has_size(path: Path, expected: Content) -> bool:
    size = path.stat().st_size
    return size >= expected.size if path.name.startswith(GROWING) else size == expected.size


def _difference(path: Path, expected: Content) -> str:
    if not path.is_file():
        return f"expected {_described(expected)}, but there is no such file; {CAUSES}"
    if not _has_size(path, expected):
        return f"expected {_described(expected)}, got {path.stat().st_size} bytes; {CAUSES}"
    found = Content.of(path.read_bytes())
    return f"expected {_described(expected)}, got {_described(found)}; {CAUSES}"


def _described(content: Content) -> str:
    return f"{content.size} bytes with SHA-256 {content.sha256[:12]}"


def _resolve(path: Path, commit: Commit) -> str:
    """Give a file that a killed writer left its name if it was committed, else delete it."""
    target = path.with_name(path.name.removesuffix(NEXT))
    expected = commit.files.get(target.name)
    if (
        expected is not None
        and _committed_part(path, expected) is not None
        and _committed_part(target, expected) is None
    ):
        replace_file(path, target)
        return f"finished the checkpoint of a killed training: {target}"
    path.unlink()
    return f"deleted {path}, the unfinished checkpoint of a killed training"
