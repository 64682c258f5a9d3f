"""How are tables of numbers printed and saved?"""

from dataclasses import dataclass, field

import torch
from measure import Suite


@dataclass(frozen=True)
class Table:
    """Numbers by row and column, with their units in the columns' names."""

    title: str
    columns: tuple[str, ...]
    rows: dict[str, list[float]] = field(default_factory=dict)

    def show(self) -> None:
        """Print the table."""
        widths = [max(len(column), 9) + 3 for column in self.columns]
        first = max([len(name) for name in self.rows] + [len(self.title)]) + 2
        cells = zip(self.columns, widths, strict=True)
        print(f"\n{self.title:{first}s}" + "".join(f"{name:>{width}s}" for name, width in cells))
        for name, numbers in self.rows.items():
            pairs = zip(numbers, widths, strict=True)
            print(f"{name:{first}s}" + "".join(f"{value:>{width}.4g}" for value, width in pairs))


def keep(name: str, tables: list[Table]) -> None:
    """Save the tables with the commit, the versions and the processor."""
    path = Suite(name, "cpu", torch.get_num_threads(), quick=False).save(tables)
    print(f"\nsaved as {path}")
