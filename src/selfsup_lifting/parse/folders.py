"""What a folder contains: files and folders, without pipes, devices and links in circles."""

from pathlib import Path

from selfsup_lifting.read_errors import Place

# How the names begin that macOS gives to what it knows about a file.
BESIDE = "._"


def entries(folder: Path) -> list[Path]:
    """List the files and folders of a folder, by name.

    Links to files and folders elsewhere are followed. A link to the folder itself, or to one above
    it, is left out: it would be followed in circles. So are pipes and devices, which have no end,
    and the files `._name` that macOS puts beside others on foreign disks.
    """
    above = {folder.resolve(), *folder.resolve().parents}
    return [
        path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(BESIDE)
        and (
            path.is_file()
            or (path.is_dir() and not (path.is_symlink() and path.resolve() in above))
        )
    ]


def require_downloaded(folder: Path) -> None:
    """Raise a ReadError if files of a folder are in a cloud, and only their placeholders here."""
    waiting = sorted(path.name for path in folder.glob(".*.icloud"))
    if waiting:
        raise Place(folder).error(
            f"{len(waiting)} of its files are in iCloud only, such as {waiting[0]}: download them"
        )


def folders_in(folder: Path) -> list[Path]:
    """List the folders of a folder, by name; see `entries`."""
    return [path for path in entries(folder) if path.is_dir()]


def files_with(folder: Path, suffix: str) -> list[Path]:
    """List the files of a folder with a suffix, in any case, by name; cameras write `.BVH` too."""
    inside = [path for path in sorted(folder.iterdir()) if path.suffix.lower() == suffix]
    return [path for path in inside if path.is_file() and not path.name.startswith(BESIDE)]
