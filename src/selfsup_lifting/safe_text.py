"""Text of other people, such as names of joints: made safe where it is written, and compared."""

import re
import unicodedata
from collections.abc import Callable, Collection, Sequence

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# A cell that begins with one of these is a formula to a spreadsheet.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
        "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    }
)  # fmt: skip


def printable(text: str) -> str:
    r"""Replace control characters, with which a name could steer a terminal; lines stay.

    Example:
        >>> printable("knee\x1b[31m")
        'knee\ufffd[31m'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(REPLACEMENT if _controls(character) else character for character in text)


def encodable(text: str) -> str:
    r"""Replace halves of surrogate pairs: names of files that are not UTF-8 have them, JSON may.

    Example:
        >>> encodable("knee\ud83d").encode()
        b'knee\xef\xbf\xbd'
    """
    return re.sub("[\ud800-\udfff]", REPLACEMENT, text)


def spelled_as(name: str, known: Collection[str]) -> str:
    r"""Return the known name that looks like this one, or this one: accents have two spellings.

    Example:
        >>> spelled_as("u\u0308ber", ["cam_1", "\xfcber"]) == "\xfcber"
        True
    """
    plain = unicodedata.normalize("NFC", name)
    alike = (one for one in known if unicodedata.normalize("NFC", one) == plain)
    return name if name in known else next(alike, name)


def alphabets(text: str) -> set[str]:
    """Return the alphabets of the letters, which may look alike.

    Example:
        >>> sorted(alphabets("cam_\u0430"))
        ['Cyrillic', 'Latin']
    """
    letters = filter(str.isalpha, encodable(text))
    return {unicodedata.name(one, "other").split()[0].capitalize() for one in letters}


def on_one_line(text: str) -> str:
    """Replace control characters, and line breaks by spaces."""
    return printable(" ".join(text.split("\n")))


def for_latex(text: str) -> str:
    """Escape what LaTeX would take for a command."""
    return on_one_line(text).translate(_LATEX)


def for_spreadsheet(text: str) -> str:
    """Put an apostrophe before what a spreadsheet would take for a formula."""
    plain = on_one_line(text)
    return f"'{plain}" if plain.startswith(_FORMULAS) else plain


def distinct_as(written: Callable[[str], str], names: Sequence[str]) -> list[str]:
    r"""Return names as a file has them.

    Raises:
        ValueError: If two of them become one.

    Example:
        >>> distinct_as(on_one_line, ["left\nknee", "nose"])
        ['left knee', 'nose']
    """
    found: dict[str, str] = {}
    for name in names:
        if (word := written(name)) in found:
            raise ValueError(
                f"the names {found[word]!r} and {name!r} would both be {word!r} in the file: "
                "rename one"
            )
        found[word] = name
    return [*found]


def _controls(character: str) -> bool:
    """Tell whether a character is a control, a mark of direction, or not assigned."""
    return character != "\n" and unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
