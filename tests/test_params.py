from __future__ import annotations

import json
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from diarnb import engines
from diarnb.engines import arguments
from diarnb.engines.base import Offer, Option, check_offered, check_options
from diarnb.errors import InvalidParameterError
from diarnb.params import Params

COUNTS = ["num_speakers", "min_speakers", "max_speakers"]
FLAGS = ["exclusive", "confidence", "turn_level_confidence"]
OFFER = Offer(models=("small", "large"), options={"threads": Option("How many threads.", lambda value: int(value))})
BARE = Offer(
    models=("only",), count=False, exclusive=False, confidence=False, turn_level_confidence=False, channels=False
)


@pytest.mark.parametrize("limits", [{"min_speakers": 2}, {"max_speakers": 2}, {"min_speakers": 2, "max_speakers": 2}])
def test_a_number_excludes_a_range_equal_or_not(limits: dict[str, int]) -> None:
    with pytest.raises(InvalidParameterError, match="pass either num_speakers or a range"):
        Params(num_speakers=2, **limits)


def test_a_range_is_in_order() -> None:
    assert Params(min_speakers=2, max_speakers=2).bounds == (2, 2)
    with pytest.raises(InvalidParameterError, match="min_speakers=3 is more than max_speakers=2"):
        Params(min_speakers=3, max_speakers=2)


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [0, -1, np.int64(0)])
def test_a_count_is_at_least_one(name: str, value: int) -> None:
    with pytest.raises(InvalidParameterError, match=f"{name}=.* less than 1"):
        Params(**{name: value})


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize(
    ("value", "fix"),
    [
        (2.0, "write {}=2"),
        ("2", "write {}=2"),
        (np.float64(3), "write {}=3"),
        (2.5, "leave it out"),
        (np.float32(2), "write {}=2"),
        (np.timedelta64(2), "leave it out"),
        (float("nan"), "leave it out"),
        (float("inf"), "leave it out"),
        (float("-inf"), "leave it out"),
        (True, "leave it out"),
        (False, "leave it out"),
        (np.True_, "leave it out"),
        ("two", "leave it out"),
        ([2], "leave it out"),
        (Decimal(2), "leave it out"),
        (Fraction(2), "leave it out"),
        (np.array([2]), "leave it out"),
    ],
)
def test_only_integers_count_and_the_message_shows_the_fix(name: str, value: Any, fix: str) -> None:
    with pytest.raises(InvalidParameterError, match=f"{name} is a whole number") as error:
        Params(**{name: value})
    assert fix.format(name) in str(error.value)


@pytest.mark.parametrize("value", [np.int64(2), np.uint8(2), 2])
def test_integers_of_numpy_become_plain(value: Any) -> None:
    params = Params(num_speakers=value, channels=value)
    assert type(params.num_speakers) is int
    assert type(params.channels) is int
    assert params == Params(num_speakers=2, channels=2)


def test_a_billion_speakers_may_be_asked_for() -> None:
    assert Params(max_speakers=10**9).bounds == (1, 10**9)


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("value", [1, 0, "yes", None, np.True_])
def test_flags_are_true_or_false(name: str, value: Any) -> None:
    with pytest.raises(InvalidParameterError, match=f"{name} is True or False"):
        Params(**{name: value})


@pytest.mark.parametrize("value", [-1, 0.0, True, None, "left", "MIX", np.True_, [0]])
def test_other_channels_are_refused(value: Any) -> None:
    with pytest.raises(InvalidParameterError, match="channels is 'mix', 'split' or"):
        Params(channels=value)


@pytest.mark.parametrize("value", ["", " ", 3, b"small"])
def test_a_model_is_a_name(value: Any) -> None:
    with pytest.raises(InvalidParameterError, match="model is a name"):
        Params(model=value)


def test_bounds_say_what_the_counts_mean() -> None:
    assert Params().bounds == (1, None)
    assert Params(num_speakers=3).bounds == (3, 3)
    assert Params(min_speakers=2).bounds == (2, None)
    assert Params(max_speakers=4).bounds == (1, 4)


def test_the_same_question_has_the_same_key() -> None:
    assert Params().key() == Params(min_speakers=1, channels="mix").key() == {}
    assert Params(num_speakers=3).key() == Params(min_speakers=3, max_speakers=3).key()
    assert Params(num_speakers=1).key() == Params(max_speakers=1).key()
    assert Params(channels=0).key() == {"channels": 0}
    keys = [Params(**{flag: True}).key() for flag in FLAGS]
    assert keys == [{flag: True} for flag in FLAGS]
    assert json.loads(json.dumps(Params(num_speakers=np.int64(3), model="small").key())) == {
        "min_speakers": 3,
        "max_speakers": 3,
        "model": "small",
    }


def test_every_parameter_has_a_line_of_help() -> None:
    assert list(Params.help()) == [*COUNTS, *FLAGS, "channels", "model"]
    assert all(line.endswith(".") and "\n" not in line for line in Params.help().values())


def test_params_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Params().model = "small"  # type: ignore[misc]


def test_an_engines_own_options_are_normalised() -> None:
    assert check_options({"threads": "4"}, OFFER, "local") == {"threads": 4}
    assert check_options({}, OFFER, "local") == {}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("num_speaker", "did you mean num_speakers"),
        ("thread", "did you mean threads"),
        ("max_speaker", "did you mean max_speakers"),
        ("zzz", "it has num_speakers, "),
    ],
)
def test_an_unknown_option_is_refused_with_a_close_one(name: str, hint: str) -> None:
    with pytest.raises(InvalidParameterError, match=f"local has no parameter '{name}'; {hint}"):
        check_options({name: 2}, OFFER, "local")


def test_an_unknown_model_is_refused_with_a_close_one() -> None:
    check_offered(Params(model="large"), OFFER, "local")
    with pytest.raises(InvalidParameterError, match="local has no model 'lage'; did you mean large"):
        check_offered(Params(model="lage"), OFFER, "local")


@pytest.mark.parametrize(
    "asked",
    [{"num_speakers": 2}, {"min_speakers": 2}, {"max_speakers": 2}, {"channels": "split"}, {"channels": 0}]
    + [{flag: True} for flag in FLAGS],
)
def test_what_an_engine_does_not_offer_is_refused_by_name(asked: dict[str, Any]) -> None:
    check_offered(Params(**asked), OFFER, "local")
    check_offered(Params(), BARE, "bare")
    with pytest.raises(InvalidParameterError, match=f"engine 'bare' does not offer {next(iter(asked))}"):
        check_offered(Params(**asked), BARE, "bare")


@pytest.mark.parametrize(
    ("engine", "known", "beside"),
    [
        ("local", arguments.LocalArguments, {"words"}),
        ("pyannoteai", arguments.PyannoteAIArguments, set()),
        ("deepgram", arguments.DeepgramArguments, set()),
        ("assemblyai", arguments.AssemblyAIArguments, set()),
        ("pyannote", arguments.PyannoteArguments, set()),
    ],
)
def test_editors_know_what_each_engine_declares(engine: str, known: Any, beside: set[str]) -> None:
    offer = engines.get(engine).offer
    assert known.__optional_keys__ == {*Params.help(), *offer.options, "refresh", "progress", *beside}
    models = re.findall(r"['\"]([^'\"]+)['\"]", known.__annotations__["model"].__forward_arg__)
    assert models
    assert set(models) <= set(offer.models)


@pytest.mark.parametrize(
    ("engine", "known"), [("local", arguments.LocalStream), ("deepgram", arguments.DeepgramStream)]
)
def test_editors_know_what_each_stream_takes(engine: str, known: Any) -> None:
    offer = engines.get(engine).live_offer
    assert offer is not None
    counts = COUNTS if offer.count else []
    assert known.__optional_keys__ == {"model", "sample_rate", *counts, *offer.options}
