"""Write down what the examples are answered with today: ``tests/golden/answers.json``.

    python -m tools.make_golden

Whoever moves code leaves that file alone, and `tests/test_golden.py` tells whether anything else has moved. Whoever
changes the answers on purpose writes it anew with this command, and says so in the commit.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

import diarnb
from diarnb.results.runs import run_of

PATH = Path(__file__).parents[1] / "tests" / "golden" / "answers.json"
QUESTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "two": {"num_speakers": 2},
    "bounded": {"min_speakers": 2, "max_speakers": 4, "exclusive": True, "turn_level_confidence": True},
    "split": {"channels": "split", "confidence": True},
    "threshold": {"threshold": 0.6},
    "faster": {"model": "segmentation-3.0+campplus"},
}


def ask(example: str, question: str) -> pd.DataFrame:
    """Diarize an example under one of the questions."""
    return diarnb.diarize(diarnb.example(example), progress=False, **QUESTIONS[question])


def hash_of(table: pd.DataFrame) -> str:
    """Hash a table with its columns, types and index; what its attributes say of the run's id and rows is left out."""
    facts = {name: value for name, value in table.attrs.get("diarnb", {}).items() if name not in ("run", "rows")}
    text = json.dumps([table.dtypes.astype(str).to_dict(), facts], sort_keys=True) + table.to_csv()
    return hashlib.sha256(text.encode()).hexdigest()


def tables_of(turns: pd.DataFrame) -> dict[str, str]:
    """Hash every table that follows from a run's raw answer alone."""
    verbs = {"exclusive": diarnb.exclusive, "speakers": diarnb.speakers, "overlap": diarnb.overlap}
    return {"turns": hash_of(turns)} | {name: hash_of(verb(turns)) for name, verb in verbs.items()}


def answers() -> dict[str, Any]:
    """Ask everything, and describe the answers in JSON."""
    found: dict[str, Any] = {}
    for example in ("meeting", "interview", "call"):
        for question in QUESTIONS:
            turns = ask(example, question)
            run = run_of(turns)
            found[f"{example}.{question}"] = {"key": run.key, "raw": run.raw, "tables": tables_of(turns)}
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DIARNB_HOME"] = folder
        PATH.write_text(json.dumps(answers(), indent=None, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"wrote {PATH.name}")
