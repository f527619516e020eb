"""Measure encoding and searching on a GPU; without one, say so and do nothing.

    python benchmarks/gpu.py [--models ViT-B-32-SigLIP2-256 ...] [--vectors 1000000]

Encoding: image towers of open_clip at full size with random weights, photos a second by batch size, the way from
memory to memory included, as indexing has it; the share of the card's peak is that of its own best on a bf16 matrix
product of 8192 x 8192. Searching: single queries for the nearest 10, in FAISS's flat fp16 index and in the inverted
file, on the GPU and, fewer, on the CPU; "ready" is the time that the copy and its first query take, "same" the
share of ids that both find, "error" the largest difference of a score.
"""

import argparse
import datetime
import subprocess
import time
from pathlib import Path
from typing import Any

from encoders.cuda import CudaTowers, has_cuda

MODELS = ["ViT-B-32-SigLIP2-256", "ViT-B-16-SigLIP2-256", "PE-Core-L-14-336"]
SIZES = [16, 32, 64, 128, 256, 512, 1024]
SIDE, PRODUCTS = 8192, 20
DIM, QUERIES, COMPARED, NEAREST = 768, 200, 50, 10


def commit() -> str:
    folder = Path(__file__).parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def peak() -> float:
    """Return the card's bf16 multiplications and additions a second, measured."""
    import torch

    a, b = (torch.randn(SIDE, SIDE, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    best = 0.0
    for _ in range(4):
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(PRODUCTS):
            a @ b
        torch.cuda.synchronize()
        best = max(best, 2 * SIDE**3 * PRODUCTS / (time.perf_counter() - started))
    return best


def image_tower(name: str) -> tuple[Any, int, float]:
    """Return a tower with random weights, the size of its photos, and its operations a photo."""
    import open_clip
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from encoders.openclip_export import ImageTower

    model = open_clip.create_model(name, pretrained=None)
    size = model.visual.image_size
    size = size[0] if isinstance(size, list | tuple) else size
    tower = ImageTower(model).eval().requires_grad_(False)  # or the counter looks for gradients, and fails
    torch.backends.mha.set_fastpath_enabled(False)  # it does not know fused attention
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        tower.features(torch.zeros(1, size, size, 3, dtype=torch.uint8))
    torch.backends.mha.set_fastpath_enabled(True)
    return tower, size, float(counter.get_total_flops())


def encoding(models: list[str]) -> None:
    import torch

    best = peak()
    print(f"\nbf16 matrix product: {best / 1e12:.0f} TFLOP/s\n")
    print(f"{'':26}{'batch':>7}{'photos/s':>10}{'of peak':>9}{'GB':>7}")
    for name in models:
        tower, size, operations = image_tower(name)
        towers = CudaTowers(tower, size, instead=lambda pixels: pixels)  # type: ignore[arg-type, return-value]
        for batch in SIZES:
            torch.cuda.reset_peak_memory_stats()
            try:
                rate = towers.rate(batch)
            except torch.OutOfMemoryError:
                print(f"{name:26}{batch:7} does not fit")
                break
            memory = torch.cuda.max_memory_allocated() / 1e9
            chosen = "  <- found by itself" if batch == towers.batch else ""
            print(f"{name:26}{batch:7}{rate:10.0f}{rate * operations / best:9.1%}{memory:7.1f}{chosen}")
        del tower, towers
        torch.cuda.empty_cache()


def searching(count: int) -> None:
    import faiss
    import numpy as np

    from benchmarks.synthetic import random_unit
    from store.flat import FlatIndex
    from store.ivf import IvfIndex, lists_for

    if not getattr(faiss, "get_num_gpus", lambda: 0)():
        print("\nFAISS sees no GPU: searching is not measured")
        return
    rows = np.concatenate(list(random_unit(count, DIM)))
    queries = np.concatenate(list(random_unit(QUERIES, DIM, seed=1)))
    flat = FlatIndex.of([(np.arange(count), rows.astype(np.float16))], DIM)
    ivf = IvfIndex.trained(rows[:: max(1, count // 200_000)], lists_for(count))
    ivf.add(np.arange(count), rows.astype(np.float16))
    for name, copy, on_cpu in (
        ("flat, fp16", flat.on_gpu, flat.search),
        (f"ivf, 64 of {ivf.lists} lists", lambda: ivf.on_gpu(64), lambda query, k: ivf.search(query, k, 64)),
    ):
        started = time.perf_counter()
        on_gpu = copy()
        if on_gpu is None:
            print(f"\n{name}: does not fit on the GPU, not measured")
            continue
        on_gpu.search(queries[0], NEAREST)
        ready = time.perf_counter() - started
        started = time.perf_counter()
        found = [on_gpu.search(query, NEAREST) for query in queries]
        gpu = QUERIES / (time.perf_counter() - started)
        on_cpu(queries[0], NEAREST)
        started = time.perf_counter()
        expected = [on_cpu(query, NEAREST) for query in queries[:COMPARED]]
        cpu = COMPARED / (time.perf_counter() - started)
        pairs = list(zip(found[:COMPARED], expected, strict=True))
        same = np.mean([len(np.intersect1d(a, b)) / len(b) for (a, _), (b, _) in pairs])
        error = max(float(np.abs(a - b).max()) for (_, a), (_, b) in pairs)
        print(f"\n{count:,} vectors of {DIM}, {name}: ready in {ready:.1f} s, ", end="")
        print(f"queries/s GPU {gpu:.0f}, CPU {cpu:.1f}; same {same:.1%}, error {error:.1e}", flush=True)
        del on_gpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    options = parser.parse_args()
    if not has_cuda():
        print("no NVIDIA GPU is at hand: nothing was measured")
        return
    import torch

    today = datetime.datetime.now(datetime.UTC).date()
    print(f"{today}, commit {commit()}, {torch.cuda.get_device_name()}, torch {torch.__version__}")
    encoding(options.models)
    searching(options.vectors)


if __name__ == "__main__":
    main()
