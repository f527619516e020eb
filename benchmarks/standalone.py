"""The least that indexing can do: Pillow (draft) and onnxruntime, vectors in memory. For benchmarks/index.py.

python benchmarks/standalone.py {decode|embed} GRAPH FOLDER
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image, ImageOps

SIZE, BATCH = 224, 32


def decode(path: Path) -> npt.NDArray[np.uint8]:
    with Image.open(path) as image:
        image.draft("RGB", (2 * SIZE + 64, 2 * SIZE + 64))
        return np.asarray(ImageOps.pad(image.convert("RGB"), (SIZE, SIZE), Image.Resampling.BICUBIC, color="white"))


def main() -> None:
    what, graph, folder = sys.argv[1:]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    vectors = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        groups = [paths[i : i + BATCH] for i in range(0, len(paths), BATCH)]
        running = [pool.submit(decode, path) for path in groups[0]]
        for following in [*groups[1:], []]:
            ready, running = running, [pool.submit(decode, path) for path in following]
            pixels = np.stack([future.result() for future in ready])
            if what == "embed":
                vectors.append(session.run(None, {"pixels": pixels})[0])
    print(len(paths), sum(map(len, vectors)))


if __name__ == "__main__":
    main()
