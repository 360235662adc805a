"""Moving code changes no answer: keys of runs, raw answers and tables of the examples are as they were written down."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

import diarnb
from diarnb.results.runs import run_of
from diarnb.store import Store
from tools.make_golden import PATH, QUESTIONS, ask, tables_of

GOLDEN: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
FRAME = 0.017  # seconds: where a network's last bits differ, an edge may fall on the next frame
SCORE = 0.5  # of 100


def assert_like(found: Any, golden: Any, path: str = "raw") -> None:
    """Compare two pieces of JSON; numbers may differ as much as they do between processors."""
    if isinstance(golden, dict):
        assert list(found) == list(golden), path
        for name in golden:
            assert_like(found[name], golden[name], f"{path}.{name}")
    elif isinstance(golden, list):
        assert len(found) == len(golden), path
        for number, (one, other) in enumerate(zip(found, golden, strict=True)):
            assert_like(one, other, f"{path}[{number}]")
    elif isinstance(golden, float):
        assert found == pytest.approx(golden, abs=SCORE if "confidence" in path else FRAME), path
    else:
        assert found == golden, path


@pytest.mark.slow
@pytest.mark.parametrize("example", ["meeting", "interview", "call"])
def test_the_examples_are_answered_as_before(example: str) -> None:
    for question in QUESTIONS:
        golden = GOLDEN[f"{example}.{question}"]
        run = run_of(ask(example, question))
        assert run.key == golden["key"], question
        assert_like(run.raw, golden["raw"], question)
        same = replace(run, id="0" * 12, key="golden", raw=golden["raw"])  # the tables of the very answer
        Store.default().save(same)
        assert tables_of(diarnb.open_run(same.id)) == golden["tables"], question
        diarnb.forget(same.id)
