"""Towers and heads that were learned from a person's own pairs of sound and picture: numpy and onnxruntime, no torch.

Sound fills the block of the joint space that texts fill: it says what is seen, not how it looks.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import safetensors.numpy

from core.errors import ModelError
from core.types import Samples, Space, Vector, Vectors
from encoders.base import BATCH_SIZE, SoundEncoder, unit
from encoders.heard import FRAME_SECONDS, FRAMES, Heard, filled, heard, statistics
from encoders.mel import Mel
from encoders.ridge import Ridge

RECIPE = 1
"""Raised whenever the same pairs would give other vectors."""
NETWORK = "network.onnx"
_HEADER = "glimpse"
_UNITS = 32
"""Directions of a ridge's map that are shown; the network shows the channels of its last feature map."""
_MOMENT, _STEP = 32, 16
"""Frames that a ridge looks at for one moment, and between moments: half a second, and a quarter."""
_DAMAGED = "the learned tower is damaged; run `glimpse learn-sound` again"
Numbers = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Weights:
    """What was learned: kind "ridge", "network", "both" or "head"; the key of the joint space; rate: Hz.

    source: key of the space whose rows a head takes, "" for towers.
    """

    kind: str
    joint: str
    rate: int
    source: str
    tensors: Mapping[str, npt.NDArray[Any]]

    def pack(self) -> bytes:
        """Return the weights as a safetensors file, the same bytes each time."""
        header = {
            "recipe": RECIPE, "kind": self.kind, "joint": self.joint, "rate": self.rate, "source": self.source,
            "digest": _digest(self.tensors),
        }  # fmt: skip
        tensors = {
            name: np.ascontiguousarray(value) for name, value in self.tensors.items()
        }  # it writes memory as is
        packed: bytes = safetensors.numpy.save(tensors, {_HEADER: json.dumps(header, sort_keys=True)})
        return packed


def unpack(weights: bytes, joint: Space, kinds: Sequence[str]) -> Weights:
    """Read packed weights; raises ModelError for damaged ones, of another joint space, or from a later version."""
    try:
        tensors = safetensors.numpy.load(weights)
        header = _header(weights)
        recipe = int(header["recipe"])
        read = Weights(header["kind"], header["joint"], int(header["rate"]), header["source"], tensors)
        whole = recipe > RECIPE or header["digest"] == _digest(tensors)
    except Exception as error:  # every reader has its own
        raise ModelError(_DAMAGED) from error
    if recipe > RECIPE:
        raise ModelError("the learned tower was made by a later version of Glimpse; update Glimpse, or learn again")
    if not whole or read.kind not in kinds:
        raise ModelError(_DAMAGED)
    if read.joint != joint.key:
        raise ModelError(
            f"the learned tower belongs to {read.joint}, not to {joint.key}; run `glimpse learn-sound` again"
        )
    return read


class LearnedEncoder:
    """Put windows of sound where the pictures that go with such sound lie: a SoundEncoder."""

    batch_size = BATCH_SIZE

    def __init__(self, weights: Weights, joint: Space, revision: str) -> None:
        self.space = Space(f"sound:{joint.name}", revision, joint.dim, joint.dim, centred=True)
        self.rate = weights.rate
        self._width = joint.shared_dim
        tensors = weights.tensors
        self._ridge = None
        if weights.kind != "network":
            self._ridge = Ridge(tensors["mean"], tensors["scale"], tensors["weights"])
        self._session = _session(tensors[NETWORK].tobytes()) if weights.kind != "ridge" else None

    def encode_sounds(self, windows: Sequence[Samples]) -> Vectors:
        """Encode windows of any lengths into unit rows of shape (n, dim); silence becomes a row of zeros."""
        rows = np.zeros((len(windows), self.space.dim), np.float32)
        found = [(row, one) for row, window in enumerate(windows) if (one := heard(window, self.rate))]
        if found:
            rows[[row for row, _ in found], : self._width] = self._rows([one.mel for _, one in found])
        return rows

    def activations(self, samples: Samples) -> tuple[Numbers, Numbers]:
        """Return what each hidden unit does in a window: times (m,), seconds, ascending, and values (m, units).

        Units: the channels of the network's last feature map; of a ridge alone, the leading directions of its map,
        from what is heard in half a second. Silence has no moments.
        """
        one = heard(samples, self.rate)
        if self._session is not None:
            return _network_moments(self._session, one)
        return _ridge_moments(self._ridge, one) if self._ridge is not None else _nothing(0)

    @property
    def units(self) -> int:
        """Return how many hidden units `activations` tells of."""
        return int(self.activations(np.zeros(self.rate, np.float32))[1].shape[1])

    def _rows(self, mels: Sequence[Mel]) -> Vectors:
        parts: list[Vectors] = []
        if self._ridge is not None:
            parts.append(self._ridge.rows(np.stack([statistics(mel) for mel in mels])))
        if self._session is not None:
            parts.append(np.concatenate([  # one by one, so that a row does not depend on those beside it
                self._session.run(["vectors"], {"mels": filled(mel)[None, None]})[0] for mel in mels
            ]))  # fmt: skip
        return unit(sum(parts[1:], parts[0]))


class Head:
    """A Join that was learned on rows of a frozen sound encoder: unit(x W + tanh(x A) B), x the centred row.

    Odd in x, so that it bends only where rows are long, and its slope at the centre is W + A B.
    """

    def __init__(self, mean: Vector, bridge: Numbers, inner: Numbers, outer: Numbers) -> None:
        """mean: (d,); bridge: W, (d, joint dim); inner: A, (d, hidden); outer: B, (hidden, joint dim)."""
        self.mean, self.bridge, self.inner, self.outer = mean, bridge, inner, outer

    def rows(self, stored: Vectors) -> Vectors:
        """Return unit rows of shape (n, joint dim), comparable with centred pictures and texts."""
        centred = unit(stored.astype(np.float32)) - self.mean  # fp16 rounds lengths, too
        mapped = centred @ self.bridge + np.tanh(centred @ self.inner) @ self.outer
        return unit(mapped.astype(np.float32))

    def hidden(self, stored: Vectors) -> Numbers:
        """Return what each hidden unit does with stored rows, -1..1, shape (n, hidden)."""
        return np.tanh((unit(stored.astype(np.float32)) - self.mean) @ self.inner)

    def toward(self, target: Vector) -> Vector:
        """Return the direction among stored rows in which the cosine to a joint vector grows at the centre."""
        return unit((self.bridge + self.inner @ self.outer) @ target)


class HeardBy:
    """A frozen sound encoder with a head upon it: what is to be looked into, as in a tower that was learned whole.

    Its hidden units tell of a window as a whole, which is one moment.
    """

    def __init__(self, encoder: SoundEncoder, head: Head) -> None:
        self.rate = encoder.rate
        self._encoder, self._head = encoder, head

    @property
    def units(self) -> int:
        """Return how many hidden units `activations` tells of."""
        return int(self._head.inner.shape[1])

    def activations(self, samples: Samples) -> tuple[Numbers, Numbers]:
        """Return the middle of a window in seconds, shape (1,), and what each hidden unit does, shape (1, units)."""
        middle = np.array([len(samples) / self.rate / 2], np.float32)
        return middle, self._head.hidden(self._encoder.encode_sounds([samples]))

    def encode_sounds(self, windows: Sequence[Samples]) -> Vectors:
        """Encode windows into unit rows of the joint space."""
        return self._head.rows(self._encoder.encode_sounds(windows))


def is_head(weights: bytes) -> bool:
    """Say whether weights are a head for another encoder; raises ModelError for what is damaged beyond telling."""
    return bool(_header(weights)["kind"] == "head")


def open_learned(weights: bytes, joint: Space) -> LearnedEncoder:
    """Open a learned tower; raises ModelError for damaged weights, another joint space, or a later recipe."""
    read = unpack(weights, joint, ("ridge", "network", "both"))
    revision = hashlib.sha256(weights).hexdigest()[:8]
    try:
        encoder = LearnedEncoder(read, joint, revision)
        encoder.encode_sounds([_probe(encoder.rate)])  # shapes that do not fit show here
    except Exception as error:  # onnxruntime has many
        raise ModelError(_DAMAGED) from error
    return encoder


def open_head(weights: bytes, joint: Space, sound: Space) -> Head:
    """Open a learned head on the rows of `sound`; raises ModelError as open_learned does."""
    read = unpack(weights, joint, ("head",))
    if read.source != sound.key:
        raise ModelError(f"the learned head is for {read.source}, not {sound.key}; run `glimpse learn-sound` again")
    return Head(*(read.tensors[name] for name in ("mean", "bridge", "inner", "outer")))


def _header(weights: bytes) -> dict[str, Any]:
    """Return what packed weights say of themselves; raises ModelError."""
    try:
        size = int.from_bytes(weights[:8], "little")
        header: dict[str, Any] = json.loads(json.loads(weights[8 : 8 + size])["__metadata__"][_HEADER])
        return header
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(_DAMAGED) from error


def _probe(rate: int) -> Samples:
    """Return a tenth of a second of a tone."""
    return np.sin(2 * np.pi * 1000 * np.arange(rate // 10) / rate).astype(np.float32)


def _digest(tensors: Mapping[str, npt.NDArray[Any]]) -> str:
    """Return SHA-256 over names, shapes and numbers."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode())
        digest.update(np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()


def _session(graph: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _network_moments(session: onnxruntime.InferenceSession, one: Heard | None) -> tuple[Numbers, Numbers]:
    if one is None:
        return _nothing(session.get_outputs()[1].shape[1])
    units = session.run(["units"], {"mels": filled(one.mel)[None, None]})[0][0]
    middles = ((np.arange(units.shape[1]) + 0.5) * FRAMES / units.shape[1]).astype(int)
    middles = middles[middles < len(one.mel)] if middles[0] < len(one.mel) else np.array([len(one.mel) - 1])
    return (one.frames[middles] * FRAME_SECONDS).astype(np.float32), units.T[: len(middles)]


def _ridge_moments(ridge: Ridge, one: Heard | None) -> tuple[Numbers, Numbers]:
    shown = ridge.directions[:, :_UNITS]
    if one is None:
        return _nothing(shown.shape[1])
    starts = np.arange(0, max(1, len(one.mel) - _MOMENT + 1), _STEP)
    features = np.stack([statistics(one.mel[start : start + _MOMENT]) for start in starts])
    middles = np.minimum(starts + _MOMENT // 2, len(one.mel) - 1)
    return (one.frames[middles] * FRAME_SECONDS).astype(np.float32), (
        (features - ridge.mean) / ridge.scale @ shown
    ).astype(np.float32)


def _nothing(units: int) -> tuple[Numbers, Numbers]:
    return np.zeros(0, np.float32), np.zeros((0, units), np.float32)
