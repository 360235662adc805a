"""The house is counted, and CONTRIBUTING says what the count is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools.census import Census, figures

ROOT = Path(__file__).parents[1]


def numbers(text: str) -> dict[str, float]:
    """The leading number of each row of what the census prints."""
    rows = re.findall(r"^([A-Za-z].*?)  +([\d.]+)", text, re.MULTILINE)
    return {name: float(number) for name, number in rows}


@pytest.mark.slow
def test_contributing_holds_the_figures_of_the_house() -> None:
    """Fewer is always welcome; whoever adds says so there (`python -m tools.census` prints what to paste)."""
    now = numbers("\n".join(f"{name:<45} {figure}" for name, figure in figures(ROOT).items()))
    written = numbers((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert written.keys() >= now.keys()
    free = {"files", "functions", "verifytypes"}  # many small ones are welcome; tests/test_typing.py asks for the last
    grown = {
        name: f"{figure:g}, written {written[name]:g}"
        for name, figure in now.items()
        if name not in free and figure > written[name]
    }
    assert not grown, f"the house has grown: {grown}"


def test_the_census_counts_what_is_there(tmp_path: Path) -> None:
    package = tmp_path / "diarnb"
    (package / "low").mkdir(parents=True)
    (package / "__init__.py").write_text('"""The face."""\n')
    (package / "low" / "__init__.py").write_text("import diarnb.high\n\n# a remark\nx: dict[str, Any] = {}\n")
    (package / "high.py").write_text(
        'from diarnb.low import x\n\n\ndef drawn() -> None:\n    """Give it."""\n    pass\n'
    )
    census = Census(tmp_path)
    assert census.entries() == 3
    assert census.arrows() == {("diarnb.low", "diarnb.high"), ("diarnb.high", "diarnb.low")}
    assert census.circles() == [{"diarnb.low", "diarnb.high"}]
    assert census.code_lines() == 5
    assert census.participles() == ["drawn"]
    assert census.openings() == (1, 1)
    assert census.anys() == (1, 1)
