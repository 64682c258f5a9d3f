"""MATLAB files of version 5 opened, or one sentence that says why not."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from selfsup_lifting.recording import ReadError


def matlab_variable(file: Path, name: str) -> NDArray[Any]:
    """Read a variable of a `.mat` file.

    Args:
        file: The file, of version 5.
        name: Which variable.

    Returns:
        The array; of objects where it is a cell.

    Raises:
        ReadError: If the file is of another version, is damaged, or lacks the variable.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(file, variable_names=[name])
    except NotImplementedError:
        raise ReadError(f"{file}: is a MATLAB 7.3 file, expected version 5") from None
    except (OSError, ValueError, TypeError, MatReadError, MemoryError, EOFError) as error:
        raise ReadError(f"{file}: no MATLAB file of version 5, or damaged: {error}") from None
    if name not in content:
        raise ReadError(f"{file}: lacks the variable `{name}`")
    variable: NDArray[Any] = content[name]
    return variable
