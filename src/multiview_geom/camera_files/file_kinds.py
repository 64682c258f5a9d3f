"""What a file that is no calibration looks like, for the sentence that refuses it."""

import re

POINTER = "a pointer of Git LFS: `git lfs pull` fetches the file itself"
ENCODED_TWICE = "JSON inside a text, as `json.dumps` of a text writes it: encode it once"
TRANSFERRED = "an HDF5 file that was copied as text, which damaged it: copy it as binary (FTP, git)"
ARRAY = "a NumPy array (.npy)"
ZEROS = "zeros (NUL): it was not written to its end"
SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"GIF8", "a GIF image"),
    (0, b"BM", "a BMP image"),
    (0, b"II*\x00", "a TIFF image"),
    (0, b"MM\x00*", "a TIFF image"),
    (4, b"ftyp", "a video (MP4 or MOV)"),
    (8, b"AVI ", "a video (AVI)"),
    (0, b"\x1a\x45\xdf\xa3", "a video (Matroska or WebM)"),
    (0, b"%PDF", "a PDF document"),
    (0, b"MATLAB 5.0 MAT-file", "a MATLAB file"),
    (0, b"MATLAB 7.3 MAT-file", "a MATLAB file of version 7.3: `save` it with '-v7'"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"\x89HDF", TRANSFERRED),
    (0, b"\xef\xbf\xbdHDF", TRANSFERRED),
    (0, bytes(64), ZEROS),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"\x93NUMPY", ARRAY),
    (0, b"version https://git-lfs", POINTER),
)
"""Where the first bytes of binary files are what, and what that means."""
LINK = re.compile(rb"[\w./ -]*/[\w. -]+\.\w{1,5}|\.{1,2}/[\w./ -]+")
"""What git writes where the system has no links: a path, without an end of the line."""
LINKED = "a link that git wrote as text: it names "
ZIP, PICKLE = b"PK\x03\x04", re.compile(rb"\x80[\x02-\x05]")
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
LONGEST_SIGNATURE = 256
MATRIX = re.compile(r"\s*([-+.\deE]+[\s,;]+){8}[-+.\deE]+\s*")
"""Nine numbers: a 3 x 3 matrix, in one line or three."""
OPENCV_XML = "<opencv_storage"
MARKUPS = {"[": "JSON", "{": "JSON", "<": "XML"}
HTML = re.compile(r"<(!doctype )?html\b", re.IGNORECASE)
TABLE_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}


def binary_kind(beginning: bytes) -> str | None:
    """Return what a binary file is by its first bytes; None if they are not known.

    Example:
        >>> binary_kind(b"%PDF-1.7")
        'a PDF document'
    """
    for start, signature, kind in SIGNATURES:
        if beginning[start : start + len(signature)] == signature:
            return kind
    if beginning.startswith(ZIP):
        if b"/data.pkl" in beginning[:LONGEST_SIGNATURE]:
            return "a file of torch.save: write the rig with `save_cameras`"
        is_npz = b".npy" in beginning[:LONGEST_SIGNATURE]
        return "a NumPy archive (.npz)" if is_npz else "a zip archive"
    if len(beginning) < LONGEST_SIGNATURE and LINK.fullmatch(beginning):
        return f"{LINKED}{beginning.decode()}"
    return "a Python pickle" if PICKLE.match(beginning) else None


def text_kind(text: str) -> str:
    """Return what a text is, for a sentence that refuses it.

    Example:
        >>> text_kind("frame,nose_x,nose_y")
        'a table with commas that begins with frame,nose_x,nose_y'
    """
    if MATRIX.fullmatch(text):
        return "a single 3 x 3 matrix, such as K: the poses of the cameras are missing"
    if OPENCV_XML in text:
        return "OpenCV's XML: write the same names to a .yml or .json file, which are read"
    line = text.lstrip().partition("\n")[0].strip()
    if line.startswith(('"[', '"{')):
        return ENCODED_TWICE
    tables = (f"a table with {name}" for mark, name in TABLE_SEPARATORS.items() if mark in line)
    kind = MARKUPS.get(line[:1]) or next(tables, "text")
    kind = "a page in HTML" if HTML.match(line) else kind
    return f"{kind} that begins with {line}"
