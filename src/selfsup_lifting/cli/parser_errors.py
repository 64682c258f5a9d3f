"""What the option parser writes into a box, as one sentence."""

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path

WRONG_OPTIONS = 2
UNKNOWN = "Unrecognized options: "
# The parser breaks longer words into two lines.
LONG_WORD = 40
# What a value must be, by the parser's name of its kind.
KINDS = {"FLOAT": "a number without a unit", "INT": "a whole number"}
# The words of the parser, and ours.
WORDS = (
    (r"could not convert string to float: (.*)", r"no type matching FLOAT could be \1"),
    (r"invalid literal for int\(\) with base 10: (.*)", r"no type matching INT could be \1"),
    (r" Got errors: .*", ""),
    (r"Error parsing (.*?): no type matching (\{None\}\|)?", r"\1: expected "),
    (r" could be (instantiated from )?\[?('.*?')\]?\.?$", r", got \2"),
    (r"Missing value for argument '(.*?)'\..*", r"\1 needs a value, and none is given"),
    (r"Missing from (.*?): \w+ (.*?) \(required\)", r"\1 needs an argument: \2"),
    *((rf"(?<=[ |]){name}(?=[ ,|])", kind) for name, kind in KINDS.items()),
    (r"\|\{(.*?)\}", r" or \1"),
)


@contextmanager
def in_one_sentence(arguments: Sequence[str]) -> Iterator[None]:
    """Raise what the parser refuses as a ValueError, in place of a box on standard error."""
    written = StringIO()
    try:
        with redirect_stderr(written):
            yield
    except SystemExit as ended:
        if ended.code == WRONG_OPTIONS:
            raise ValueError(_sentence(written.getvalue(), arguments)) from None
        raise
    sys.stderr.write(written.getvalue())


def _sentence(box: str, arguments: Sequence[str]) -> str:
    """Return the first part of a box, and the options that the other parts recommend."""
    plain = re.sub(r"\x1b\[[\d;]*m", "", box)
    lines = [line.strip("│") for line in plain.splitlines()[1:-1]]
    said = " ".join(" ".join(lines).partition("───")[0].split())
    for word in (one for one in arguments if len(one) > LONG_WORD):
        said = said.replace(_broken(said, word), word)
    for theirs, ours in WORDS:
        said = re.sub(theirs, ours, said)
    if not said.startswith(UNKNOWN):
        return said
    if close := re.findall(r"^ {5}(--[\w.-]+)", "\n".join(lines), re.MULTILINE):
        return f"{said}; did you mean {' or '.join(dict.fromkeys(close))}?"
    unknown = said.removeprefix(UNKNOWN).split(", ")
    if all(Path(one).exists() for one in unknown):
        *_, option, _value = ["", "", *arguments[: [*arguments].index(unknown[0])]]
        if option.startswith("--"):
            return f"{option} takes one path, got also {', '.join(unknown)}"
        return (
            f"one path is expected here, got also {', '.join(unknown)}; several files of one "
            "recording are read by the folder that holds them"
        )
    switch = re.search(r"(?i)(--[\w.-]+)[ =](true|false|on|off|yes|no)\b", " ".join(arguments))
    if switch and said.startswith(f"{UNKNOWN}{switch[2]}"):
        return f"{said}; an option that is on or off has no value: {switch[1]}"
    return said


def _broken(text: str, word: str) -> str:
    """Return a word as it is in a text that may have blanks inside the word."""
    found = re.search(" ?".join(map(re.escape, word)), text)
    return word if found is None else found[0]
