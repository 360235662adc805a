"""Fits the detector of speech: ``python -m benchmarks.detection FOLDER --only TUNE.txt [--simulated FOLDER]``.

FOLDER is what ``python -m benchmarks.accuracy`` takes. Prints the coefficients of the logistic regression that
`diarnb.engines.local.detection` ships, and how many frames it gets wrong, beside the segmentation network alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks._machine import heading, versions
from benchmarks.accuracy import Recording, read_folder
from benchmarks.bounds import truth
from diarnb.audio import open_recording
from diarnb.engines.local import networks
from diarnb.engines.local.detection import _COEFFICIENTS, compute_features, find_regions, score_features
from diarnb.engines.local.embedding import compute_energy, find_feature_frame, make_filter_bank
from diarnb.engines.local.segmentation import RATE, Segmenter, seconds
from diarnb.engines.local.segments import find_speech_regions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SIMULATED = 0.3  # weight of all simulated frames, in that of all real ones
RIDGE = 1.0
Part = tuple["NDArray[np.float64]", "NDArray[np.bool_]", "NDArray[np.float32]"]
"""Features, whether anybody speaks, and the network's probability of speech, of the scored frames."""


def measure(recording: Recording) -> Part:
    """Compute the features of a recording's frames, and the truth."""
    with open_recording(recording.audio) as audio:
        samples = np.concatenate(list(audio.blocks()))
    network = networks.load("segmentation", providers=("CPUExecutionProvider",), threads=None)
    segmenter, bank = Segmenter(network), make_filter_bank()
    speech = np.concatenate([segmenter.feed(samples), segmenter.tail()], axis=1)[0].astype(np.float32) / 255
    bank.accept_waveform(RATE, samples)
    energy = compute_energy(np.stack([bank.get_frame(number) for number in range(bank.num_frames_ready)]))
    energy = energy[np.minimum(find_feature_frame(np.arange(len(speech))), len(energy) - 1)]
    middles = (seconds(np.arange(len(speech))) + seconds(np.arange(1, len(speech) + 1))) / 2
    scored = np.any([(middles >= start) & (middles < end) for start, end in recording.scored], axis=0)
    return compute_features(speech, energy)[scored], truth(recording, len(speech)).any(1)[scored], speech[scored]


def fit(features: NDArray[np.float64], speech: NDArray[np.bool_], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit a logistic regression by Newton's method.

    Examples
    --------
    >>> x = np.stack([np.linspace(-1, 1, 200), np.ones(200)], axis=1)
    >>> bool(fit(x, x[:, 0] > 0, np.ones(200))[0] > 5)
    True
    """
    found = np.zeros(features.shape[1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-features @ found))
        slope = features.T @ (weights * (speech - chance)) - RIDGE * found
        curvature = (features * (weights * chance * (1 - chance))[:, None]).T @ features + RIDGE * np.eye(len(found))
        step = np.linalg.solve(curvature, slope)
        found += step
        if np.abs(step).max() < 1e-6:
            break
    return found


def count_wrong(part: Part, coefficients: NDArray[np.float64] | None) -> tuple[int, int]:
    """Count the frames in which speech is missed, and falsely found; without coefficients by the network alone."""
    features, speech, network = part
    scores = None if coefficients is None else score_features(features, coefficients)
    regions = find_speech_regions(network) if scores is None else find_regions(scores)
    found = np.zeros(len(speech), bool)
    for start, end in regions:
        found[start:end] = True
    return int((speech & ~found).sum()), int((found & ~speech).sum())


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", type=Path, required=True, metavar="NAMES.txt", help="recordings to fit on")
    parser.add_argument("--simulated", type=Path, metavar="FOLDER", help="of benchmarks.simulate, to fit on too")
    parser.add_argument("--without", nargs="*", default=[], metavar="NAME", help="recordings to leave out")
    arguments = parser.parse_args(argv)
    names = set(arguments.only.read_text(encoding="utf-8").split()) - set(arguments.without)
    recordings = read_folder(arguments.folder, leave_out=arguments.without)
    parts = {recording.name: measure(recording) for recording in recordings}
    real = [parts[name] for name in sorted(names)]
    made = [measure(each) for each in read_folder(arguments.simulated)] if arguments.simulated else []
    frames = [sum(len(part[1]) for part in each) for each in (real, made)]
    weights = [np.ones(frames[0]), np.full(frames[1], SIMULATED * frames[0] / max(frames[1], 1))]
    features, speech = (np.concatenate([part[which] for part in (*real, *made)]) for which in (0, 1))
    fitted = fit(features, speech, np.concatenate(weights))
    print(heading({"diarnb": versions("diarnb", "numpy", "onnxruntime")}))
    print(f"fitted: {fitted.round(4).tolist()}\nshipped: {_COEFFICIENTS.tolist()}\n")
    for title, chosen in (("fitted on", names), ("others", set(parts) - names)):
        total = sum(int(parts[name][1].sum()) for name in chosen)
        for way, coefficients in (("network alone", None), ("fitted", fitted), ("shipped", _COEFFICIENTS)):
            wrong = np.sum([count_wrong(parts[name], coefficients) for name in sorted(chosen)], axis=0)
            missed, false_alarm = 100 * wrong / max(total, 1)
            print(f"{title}, {way}: missed {missed:.1f} %, false alarm {false_alarm:.1f} % of speech")


if __name__ == "__main__":
    main()
