"""`turns.diar` is the functions, bound to the table."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import diarnb
from diarnb import analysis
from diarnb.accessor import Diar
from diarnb.errors import TurnTableError

if TYPE_CHECKING:
    from pathlib import Path

VERBS = [name for name in vars(Diar) if not name.startswith("_")]


def test_the_verbs_are_the_public_functions_that_take_turns() -> None:
    public = {*diarnb.__all__, *analysis.__all__, "show"}
    taking_turns = {name for name in public if next(iter(parameters(name)), "") == "turns"}
    assert set(VERBS) == taking_turns | {"clip", "compare", "identify", "voiceprint"}


def find(name: str) -> Any:
    return next(getattr(home, name) for home in (diarnb, analysis, diarnb.widgets) if hasattr(home, name))


def parameters(name: str) -> list[str]:
    return list(inspect.signature(find(name)).parameters)


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_shows_the_signature_and_the_words_of_its_function(name: str) -> None:
    function = find(name)
    assert getattr(Diar, name) is function
    bound = getattr(pd.DataFrame({"start": [0.0], "end": [1.0], "speaker": ["A"]}).diar, name)
    assert bound.__doc__ == function.__doc__
    assert list(inspect.signature(bound).parameters) == parameters(name)[1:]


@pytest.mark.slow
def test_a_verb_gives_what_its_function_gives(known: dict[str, pd.DataFrame]) -> None:
    turns = known["interview"]
    pd.testing.assert_frame_equal(turns.diar.speakers(), diarnb.speakers(turns))
    pd.testing.assert_frame_equal(turns.diar.frames(), diarnb.frames(turns))
    assert set(turns.diar.rename({"SPEAKER_00": "Beth"})["speaker"]) == {"Beth", "SPEAKER_01"}
    assert turns.diar.recluster(num_speakers=1)["speaker"].nunique() == 1
    assert turns.diar.timeline().get_figure()
    assert turns.diar.clip(0, 1).data


def test_tab_completion_finds_the_verbs(known: dict[str, pd.DataFrame]) -> None:
    assert set(VERBS) <= set(dir(known["interview"].diar))
    assert "diar" in dir(known["interview"])


def test_it_lists_its_verbs_with_what_they_do() -> None:
    diar = pd.DataFrame({"start": [0.0], "end": [1.0], "speaker": ["A"]}).diar
    listed = {line.split()[0]: line.split(maxsplit=1)[1] for line in repr(diar).splitlines()[1:]}
    assert list(listed) == VERBS
    assert {"show", "turn_taking", "summary"} <= set(listed)
    assert listed["rename"] == diarnb.rename.__doc__.splitlines()[0]
    assert all(f"<code>{name}</code>" in diar._repr_html_() for name in VERBS)


def test_any_table_of_turns_has_it_and_another_hears_why_not() -> None:
    table = pd.DataFrame({"start": [0, 3], "end": [4, 6], "speaker": ["A", "B"]})
    assert table.diar.overlap()["duration"].tolist() == [1.0]
    with pytest.raises(TurnTableError, match="speaker"):
        table.drop(columns="speaker").diar.speakers()


@pytest.mark.parametrize("first", ["diarnb.read('turns.csv')", "diarnb.speakers(pandas.read_csv('turns.csv'))"])
def test_a_table_has_it_from_the_first_use_of_diarnb(tmp_path: Path, first: str) -> None:
    (tmp_path / "turns.csv").write_text("start,end,speaker\n0,4,A\n3,6,B\n")
    code = f"import diarnb, pandas; {first}; print(len(pandas.read_csv('turns.csv').diar.overlap()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("1\n", "")
