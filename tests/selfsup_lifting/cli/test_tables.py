"""Laws of tables: they are readable on 80 columns, and papers can include them."""

from io import StringIO
from math import nan

import pytest
from rich.console import Console

from selfsup_lifting.cli.tables import ablation_tables, plain_table, result_table
from selfsup_lifting.cli.terminal import Terminal
from selfsup_lifting.evaluation.ablation import Row
from selfsup_lifting.evaluation.published_tables import ACTIONS
from selfsup_lifting.evaluation.table_files import ResultTable, latex

LOSSES = {"L_in": 0.321, "L_proj": 0.677, "L_con": 0.001, "L_out": 0.001}


def shown(*tables: object) -> list[str]:
    """Return the lines of tables on a screen of 80 columns."""
    screen = StringIO()
    console = Console(file=screen, width=80)
    for table in tables:
        console.print(table)
    return screen.getvalue().splitlines()


def test_tables_fit_80_columns_and_no_cell_is_cut() -> None:
    errors = ((153.2, 154.0), (130.9, 149.1), (-0.08, 0.6))
    rows = [Row(name, *errors, LOSSES, 1.0) for name in ("L_in", "+ L_proj", "+ L_con", "+ L_out")]
    ablation = shown(*ablation_tables(rows))
    columns = (*ACTIONS, "mean of actions", "mean of poses")
    table = ResultTable("Human3.6M [mm]", columns, (("this run, P-MPJPE", (112.3,) * 17),) * 3)
    for lines in (ablation, shown(result_table(table))):
        assert max(map(len, lines)) <= 80
        assert "…" not in "".join(lines)
    assert sum("+ L_proj" in line for line in ablation) == 2


def test_a_number_that_is_wider_than_the_screen_is_not_cut() -> None:
    screen = StringIO()
    cells = ["a name that is long", *(f"123{at}.5 -> 123{at}.5" for at in range(6))]
    Terminal(file=screen, width=80).print(plain_table("", [""] * len(cells), cells))
    assert all(cell in screen.getvalue() for cell in cells)


@pytest.mark.parametrize("width", [1, 3, 40])
def test_a_narrow_terminal_cuts_no_word_of_a_table(width: int) -> None:
    screen, usual = StringIO(), StringIO()
    table = plain_table("errors", ["camera", "median [px]", "detected"], ["cam_1", "3.1", "99.1%"])
    Terminal(file=screen, width=width).print(table)
    Terminal(file=usual, width=80).print(table)
    assert screen.getvalue() == usual.getvalue()


def test_a_table_in_latex_has_a_caption_rules_and_short_actions() -> None:
    table = ResultTable("Errors_1", ("SittingDown", "P-MPJPE"), (("ours", (51.23, nan)),))
    text = latex([table])
    assert "\\caption{Errors\\_1}" in text
    assert " & SitD. & P-MPJPE \\\\\n\\midrule\nours & 51.2 &  \\\\\n\\bottomrule" in text
    assert text.count("\\begin{") == text.count("\\end{") == 2
