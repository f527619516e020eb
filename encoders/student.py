"""The network that learns to hear: a timm MobileNet over log-mel spectrograms, and its graph. Needs torch."""

import tempfile
from pathlib import Path

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from core.types import Vectors
from encoders.graph import held
from encoders.heard import BANDS, FRAMES, RANGE

SMALL, LARGE = "mobilenetv3_small_100", "mobilenetv3_large_100"
HIDDEN = 256


class Student(nn.Module):
    """Put spectrograms (n, 1, frames, BANDS), -RANGE..0 dB, where their pictures lie: unit rows (n, dim)."""

    def __init__(self, dim: int, name: str) -> None:
        """name: of a timm network that has `forward_features`."""
        super().__init__()
        self.features = timm.create_model(name, in_chans=1, num_classes=0)
        self.features.eval()
        with torch.inference_mode():
            width = self.features.forward_features(torch.zeros(1, 1, BANDS, BANDS)).shape[1]
        self.out = nn.Linear(2 * width, dim)

    def forward(self, mels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rows, and what each unit does over time: (n, units, moments)."""
        units = self.features.forward_features(mels * (2 / RANGE) + 1).mean(dim=3)
        pooled = torch.cat([units.mean(dim=2), units.amax(dim=2)], dim=1)
        return functional.normalize(self.out(pooled), dim=1), units


class Residual(nn.Module):
    """A head on frozen rows (n, d), centred: unit(x W + tanh(x A) B); it begins as the bridge W alone."""

    bridge: Tensor

    def __init__(self, bridge: Tensor, hidden: int) -> None:
        super().__init__()
        self.register_buffer("bridge", bridge)
        self.inner = nn.Linear(bridge.shape[0], hidden, bias=False)
        self.outer = nn.Linear(hidden, bridge.shape[1], bias=False)
        nn.init.zeros_(self.outer.weight)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return unit rows (n, dim), and what each hidden unit does: (n, hidden)."""
        units = torch.tanh(self.inner(rows))
        return functional.normalize(rows @ self.bridge + self.outer(units), dim=1), units


def student(dim: int, large: bool, seed: int) -> Student:
    """Return a student of `dim` outputs with the first weights that the seed gives."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Student(dim, LARGE if large else SMALL)


def head(bridge: Vectors, seed: int) -> Residual:
    """Return a head on a bridge (d, dim), with the first weights that the seed gives."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Residual(torch.from_numpy(bridge), HIDDEN)


def graph(student: Student) -> bytes:
    """Return the student as an ONNX graph of `mels` (1, 1, FRAMES, BANDS), with the outputs `vectors` and `units`.

    Raises ModelError where it differs from torch.
    """
    student = student.eval().cpu()
    mels = torch.rand(1, 1, FRAMES, BANDS, generator=torch.Generator().manual_seed(0)) * -RANGE
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.onnx")
        with torch.inference_mode():
            expected = student(mels)[0].numpy()
        program = torch.onnx.export(
            student, (mels,), dynamo=True, input_names=["mels"], output_names=["vectors", "units"], verbose=False
        )
        program.save(str(path))  # type: ignore[union-attr]
        held(path, {"mels": mels}, expected)
        return path.read_bytes()
