"""FAISS, as Glimpse wants it: one package of it, quiet threads, and filters that are never lost on the way."""

import contextlib
import ctypes
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from core.errors import GlimpseError
from core.types import Ids, Vector

# A thread that waits for work must not spin: on a busy machine that takes the processor from those that have some.
# putenv, since the library that reads it is loaded with FAISS, and only the face touches os.environ.
os.putenv("OMP_WAIT_POLICY", "passive")


def _refuse_two_faiss() -> None:
    """Refuse faiss-cpu and faiss-gpu side by side: they overwrite each other's files without a word."""
    spec = find_spec("faiss")
    places = spec.submodule_search_locations if spec else None
    # A look at the folder: importlib.metadata would cost a search 20 ms.
    names = os.listdir(Path(places[0]).parent) if places else []
    found = {name.partition("-")[0] for name in names if name.startswith("faiss_") and name.endswith(".dist-info")}
    if {"faiss_cpu", "faiss_gpu"} <= found:
        raise GlimpseError(
            "faiss-cpu and faiss-gpu are both installed and break each other; run: "
            "pip uninstall -y faiss-cpu faiss-gpu && pip install --upgrade --force-reinstall glimpse-search"
        )


_refuse_two_faiss()
import faiss as _faiss  # noqa: E402

faiss: Any = _faiss  # its stubs know neither its selectors nor its search parameters

Scores = npt.NDArray[np.float32]
Found = tuple[Ids, Scores]
"""Ids and inner products, best first."""
NOTHING: Found = (np.empty(0, np.int64), np.empty(0, np.float32))
GPU_K = 2048
"""The most neighbours that FAISS finds on a GPU."""
GPU_SCRATCH = 64 << 20
"""Bytes that FAISS may reserve on a GPU beside the vectors."""
GPU_SPARE = 1 << 30
"""Bytes that stay free on a GPU for its libraries, for searches, and for others."""
_FP16 = 2


def tune(dim: int) -> None:
    """Have FAISS multiply matrices from four queries on.

    Its own limit, 128,000 numbers, lets batches of up to 249 queries of 512 dimensions run one by one, six to nine
    times as slow.
    """
    faiss.cvar.distance_compute_blas_threshold = 4 * dim


class Selector:
    """The ids that a search may return, or may not, as a bitmap."""

    def __init__(self, ids: Ids, but: bool = False) -> None:
        """ids: shape (n,), n >= 1; but: all except these."""
        there = np.zeros(int(ids.max()) + 1, dtype=bool)
        there[ids] = True
        self._bits = np.packbits(there, bitorder="little")  # FAISS only points at it
        self._listed = faiss.IDSelectorBitmap(self._bits)
        self.native: Any = faiss.IDSelectorNot(self._listed) if but else self._listed


def search(index: Any, query: Vector, k: int, parameters: Any = None) -> Found:
    """Ask a FAISS index on the processor for the k nearest to one query."""
    if k == 0:
        return NOTHING
    scores, ids = index.search(query.reshape(1, -1), k, params=parameters)
    there = ids[0] >= 0  # FAISS fills up with -1
    return ids[0][there], scores[0][there]


def gpu_room() -> int:
    """Return how many bytes are free on the first GPU, 0 where its driver gives no answer.

    Asks the driver, since FAISS ends the process where a card is too full for CUDA to start.
    """
    free, total, device, context = ctypes.c_size_t(), ctypes.c_size_t(), ctypes.c_int(), ctypes.c_void_p()
    try:
        cuda = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        failed = (
            cuda.cuInit(0)
            or cuda.cuDeviceGet(ctypes.byref(device), 0)
            or cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)  # it stays: FAISS uses the same
            or cuda.cuCtxPushCurrent_v2(context)
            or cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
            or cuda.cuCtxPopCurrent_v2(ctypes.byref(context))
        )
        return 0 if failed else free.value
    except (OSError, AttributeError):
        return 0


class GpuIndex:
    """A copy of an index on the first GPU.

    Its search has no place for a selector, because FAISS's flat index on a GPU ignores one without a word
    (GpuIndexFlat::searchImpl_ never reads its parameters; facebookresearch/faiss issue 3114).
    """

    def __init__(self, index: Any) -> None:
        """Copy; raises RuntimeError where the card has no room."""
        options = faiss.GpuClonerOptions()
        options.useFloat16 = True
        self._resources = faiss.StandardGpuResources()
        self._resources.setTempMemory(GPU_SCRATCH)
        self._index = faiss.index_cpu_to_gpu(self._resources, 0, index, options)

    def search(self, query: Vector, k: int) -> Found:
        """Return ids and scores of the k nearest, k <= GPU_K."""
        scores, ids = self._index.search(query.reshape(1, -1), k)
        there = ids[0] >= 0
        return ids[0][there], scores[0][there]


def on_gpu(index: Any) -> GpuIndex | None:
    """Copy an index to the GPU, where there is one with room for it."""
    needed = GPU_SPARE + 2 * _FP16 * index.d * index.ntotal  # lists grow in steps
    if getattr(faiss, "get_num_gpus", lambda: 0)() > 0 and gpu_room() > needed:
        with contextlib.suppress(RuntimeError):  # the CPU goes on
            return GpuIndex(index)
    return None
