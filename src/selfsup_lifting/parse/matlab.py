"""MATLAB files of version 5."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from selfsup_lifting.read_errors import Place


def matlab_variable(file: Path, name: str) -> NDArray[Any]:
    """Read a variable of a `.mat` file.

    Args:
        file: The file, of version 5.
        name: The name of the variable.

    Returns:
        The array; an array of objects if the variable is a cell.

    Raises:
        ReadError: If the file has another version, is damaged, or lacks the variable.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(file, variable_names=[name])
    except NotImplementedError:
        raise Place(file).error("expected a MATLAB file of version 5, got version 7.3") from None
    except (OSError, ValueError, TypeError, MatReadError, MemoryError, EOFError) as error:
        raise Place(file).damaged("a MATLAB file of version 5", error) from None
    if name not in content:
        raise Place(file).error(f"expected the variable `{name}`, but the file has none")
    variable: NDArray[Any] = content[name]
    return variable
