"""The command line: parse the options, then run the command."""

import difflib
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from pickle import UnpicklingError
from signal import SIGINT

from selfsup_lifting.cli.parsing import COMMANDS, COMPLETION, PROGRAM, VERSION, parse_options
from selfsup_lifting.cli.separate_files import require_separate
from selfsup_lifting.cli.standard_streams import forgive_a_full_disk, occupy_closed_streams
from selfsup_lifting.safe_text import printable

# The exit status after a signal is this plus its number, as in a shell.
WRONG_INPUT, SIGNALLED = 2, 128
# The number of the signal of a pipe that nobody reads; Windows does not name it.
SIGPIPE = 13
# A thread that waits for others sleeps after so many checks: tens of microseconds. With the usual
# number of GNU's OpenMP, milliseconds, waiting takes most of the time of a busy machine.
SPINS = "10000"
# What tools that build packages set.
BUILD_DATE = "SOURCE_DATE_EPOCH"
LOGS = "TORCH_LOGS"
DAMAGED_CACHE = (
    "the cache of compiled loops is damaged; delete the folder multiview_geom in ~/.cache, or in "
    "the folder that XDG_CACHE_HOME names:"
)
LACK_OF_MEMORY = (
    "the memory is not enough; a smaller network (--lifter.width), fewer frames in a batch "
    "(--frames-per-batch) or fewer frames (--frames) need less:"
)
# What follows the option that prints completions.
SHELLS = (["bash"], ["zsh"], ["tcsh"])
NUMBA_THREADS = "NUMBA_NUM_THREADS"
# Numba reads its settings from the working folder.
NUMBA_SETTINGS = Path(".numba_config.yaml")
# Of a longer sentence, as one with thousands of names, this much from its beginning and its end.
LONGEST_BEGINNING, LONGEST_ENDING = 1500, 300


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; wrong input ends it with one sentence on stderr and exit status 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    occupy_closed_streams()
    forgive_a_full_disk()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal of ASCII shows other letters as escapes
            stream.reconfigure(errors="backslashreplace")
    try:
        _require_working_folder()
        _require_date()
        _require_threads()
        _require_no_numba_settings()
        _require_command(arguments)
        _require_no_blank(arguments)
        with _in_one_sentence():
            options = parse_options(arguments or ["--help"])
            require_separate(options)
        _wait_asleep()
        os.environ["MPLBACKEND"] = "agg"  # pictures are written to files only
        # These import torch, which --help does not need.
        from selfsup_lifting.cli.commands import run
        from selfsup_lifting.cli.terminal import PlainFormatter
        from selfsup_lifting.training.stopping import ending_at_signals

        if logging.lastResort is not None:
            logging.lastResort.setFormatter(PlainFormatter())
        with ending_at_signals(), _in_one_sentence():
            run(options)
    except BrokenPipeError:  # as `| head -1` does: nobody reads further, so nothing is said
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(SIGNALLED + SIGPIPE)
    except (ValueError, OSError) as error:
        details = getattr(error, "details", "")
        lines = [f"{PROGRAM}: {_shortened(_sentence(error))}", *filter(None, [details])]
        sys.stderr.write(printable("\n".join(lines)) + "\n")
        sys.exit(WRONG_INPUT)
    except KeyboardInterrupt as stopped:
        sys.exit(SIGNALLED + getattr(stopped, "number", SIGINT))


@contextmanager
def _in_one_sentence() -> Iterator[None]:
    """Convert errors of libraries that the user can mend: of memory, links and the cache."""
    try:
        yield
    except (MemoryError, RuntimeError, UnpicklingError) as error:
        cause = _cause(error)
        if cause is None:
            raise
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{cause} {reason}") from error


def _cause(error: Exception) -> str | None:
    """Return what an error of a library means for the user; None if that is not known."""
    if isinstance(error, UnpicklingError):
        return DAMAGED_CACHE
    if isinstance(error, MemoryError) or "allocate" in str(error).partition("\n")[0].lower():
        return LACK_OF_MEMORY
    return "links lead in a circle:" if str(error).startswith("Symlink loop") else None


def _require_working_folder() -> None:
    """Refuse a working folder that was deleted: libraries fail there with other sentences."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise ValueError("the working folder was deleted; change to another one") from None


def _require_date() -> None:
    """Refuse an environment with a date that NumPy and matplotlib end on, in their own words."""
    date = os.environ.get(BUILD_DATE, "0")
    if not (date.isascii() and date.isdigit()):
        raise ValueError(
            f"the environment variable {BUILD_DATE} must be a whole number of seconds since 1970, "
            f"got {date!r}"
        )


def _require_threads() -> None:
    """Refuse an environment without a thread for Numba, which would say so in its own words."""
    threads = os.environ.get(NUMBA_THREADS, "1").strip()
    if re.fullmatch(r"-\d+|0+", threads):
        raise ValueError(
            f"the environment variable {NUMBA_THREADS} must be 1 or more, got {threads!r}"
        )


def _require_no_numba_settings() -> None:
    """Refuse a working folder with settings of Numba, which came perhaps with somebody's data."""
    if NUMBA_SETTINGS.exists():
        raise ValueError(
            f"{NUMBA_SETTINGS} in the working folder would change how loops are compiled; start in "
            "another folder, or set the variables of Numba in the environment"
        )


def _require_no_blank(arguments: Sequence[str]) -> None:
    """Refuse arguments without text: a blank path would be the working folder."""
    for place, argument in enumerate(arguments):
        if not argument.strip() or (argument.startswith("--") and argument.endswith("=")):
            before = " ".join(arguments[max(0, place - 1) : place + 1]).strip()
            raise ValueError(
                f"nothing is written after {before}; likely cause: a shell variable that is not set"
            )


def _sentence(error: ValueError | OSError) -> str:
    """Describe an error; one of the operating system by its file and its cause."""
    if "Invalid log settings" in str(error):  # of torch, with a list of hundreds
        return (
            f"the environment variable {LOGS} must name logs of PyTorch, got "
            f"{os.environ.get(LOGS)!r}; {LOGS}=help lists them"
        )
    if not (isinstance(error, OSError) and error.strerror):
        return str(error)
    if not error.filename:  # as of standard output on a full disk
        return f"the system refused to read or to write: {error.strerror}"
    if isinstance(error, IsADirectoryError):
        return f"{error.filename} is a folder; expected a file"
    return f"{error.filename}: {error.strerror}"


def _wait_asleep() -> None:
    """Let waiting threads sleep soon, unless the environment says how they wait."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def _shortened(sentence: str) -> str:
    if len(sentence) <= LONGEST_BEGINNING + LONGEST_ENDING:
        return sentence
    left_out = len(sentence) - LONGEST_BEGINNING - LONGEST_ENDING
    beginning, ending = sentence[:LONGEST_BEGINNING], sentence[-LONGEST_ENDING:]
    return f"{beginning} ... ({left_out} more characters) ... {ending}"


def _require_command(arguments: Sequence[str]) -> None:
    for name in arguments[:1]:
        if name not in {*COMMANDS, "-h", "--help", COMPLETION, VERSION}:
            close = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ValueError(
                f"no command {name!r}{hint}; the first word is a command: {', '.join(COMMANDS)}; "
                f"{PROGRAM} --help explains them"
            )
        shell = arguments[1:2]
        if name == COMPLETION and shell not in SHELLS:
            raise ValueError(f"{COMPLETION} needs one of bash, zsh, tcsh, got {shell or 'none'}")
