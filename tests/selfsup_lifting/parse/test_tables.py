"""Laws of tables of text."""

from pathlib import Path

from selfsup_lifting.parse.tables import first_cells, read_rows


def test_the_line_with_the_separator_that_excel_reads_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("sep=;\n# mine\nframe;x\n0;1,5\n")
    assert first_cells(path) == ["frame", "x"]
    assert [row.cells for row in read_rows(path)] == [["frame", "x"], ["0", "1.5"]]


def test_a_blank_may_stand_before_a_quotation_mark(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text('"frame", "x"\n0, "1.5"\n')
    assert first_cells(tmp_path / "table.csv") == ["frame", "x"]
    assert read_rows(tmp_path / "table.csv")[1].cells == ["0", "1.5"]
