"""How fast the frames of a 1080p film are picked, and how much memory that takes; and how well shots are told apart.

    python benchmarks/video.py [--seconds 60] [--shots FOLDER]

The films are made on the spot: shots of a camera that moves over waves of colour, with film grain, H.264 of 30
frames a second, with x264's own keyframes (at most 250 frames apart, and where it sees a cut), with one each second,
as phones write them, and with none but the first, as screen recorders do. --shots compares measures of change on the
photos of a FOLDER.
"""

import argparse
import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

from core.types import Fit, ImageInput
from media.film import CHANGED, frames, preview, still
from media.kinds import EXTENSIONS
from media.recording import open_recording

WANT = ImageInput(224, Fit.LETTERBOX)
SIZE, RATE = (1920, 1080), 30
FILMS = {
    "x264's own keyframes": {"x264-params": "keyint=250:scenecut=40"},
    "one a second, as phones": {"x264-params": "keyint=30:min-keyint=30:scenecut=0"},
    "none but the first": {"x264-params": "keyint=infinite:scenecut=0"},
}
SHOT_SECONDS = 7
"""Of a shot: a film of a minute has 9."""


# --- speed


def pictures(seconds: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield frames: a camera that moves over waves of two colours, others in each shot, with grain over all."""
    rng = np.random.default_rng(0)
    width, height = SIZE
    grain = [rng.normal(0, 3, (height, width, 3)).astype(np.int8).view(np.uint8) for _ in range(4)]
    y, x = np.mgrid[0 : height + 256, 0 : width + 256].astype(np.float32) / height
    for number in range(seconds * RATE):
        at = number % (SHOT_SECONDS * RATE)
        if at == 0:
            low, high = rng.uniform(32, 223, (2, 3)).astype(np.float32)
            waves = (np.sin(rng.uniform(3, 20) * x) * np.cos(rng.uniform(3, 20) * y + 3 * x) + 1)[:, :, None] / 2
            scene = (low + (high - low) * waves).astype(np.uint8)
        top, left = 100 + int(100 * np.sin(at / 40)), at
        yield scene[top : top + height, left : left + width] + grain[number % 4]


def write(path: Path, seconds: int, options: dict[str, str]) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "crf": "23", **options})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for picture in pictures(seconds):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))


def peak_megabytes() -> float:
    """Return the most memory that this process has held; getrusage would count that of its parent in, too."""
    with contextlib.suppress(OSError):
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)  # bytes on macOS


def pick(path: Path) -> None:
    """Pick a film's frames, and print a row: this is a process of its own, so that its memory is its own, too."""
    with open_recording(path) as recording:
        wall, cpu = time.perf_counter(), time.process_time()
        count = sum(1 for _ in frames(recording, WANT))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        peak = peak_megabytes()
        started = time.process_time()
        preview(recording, 512)
        shown = time.process_time() - started
        started = time.process_time()
        still(recording, (recording.duration or 0) * 0.9, 512)
        moment = time.process_time() - started
        length = recording.duration or 0.0
    print(
        f"| {length / wall:.0f} | {length / cpu:.0f} | {count} | {1000 * cpu / count:.0f} | {peak:.0f} "
        f"| {shown * 1000:.0f} | {moment * 1000:.0f} |"
    )


def speed(seconds: int) -> None:
    print(f"{seconds} s of {SIZE[0]} x {SIZE[1]}, {RATE} a second; {os.cpu_count()} processors, shared with others")
    print("| keyframes | MB | x real time, wall | by CPU | kept | CPU ms a frame | peak MB | preview ms | still ms |")
    print("| --- " * 9 + "|")
    with tempfile.TemporaryDirectory() as folder:
        for name, options in FILMS.items():
            path = Path(folder, "film.mp4")
            write(path, seconds, options)
            command = [sys.executable, "-m", "benchmarks.video", "--pick", str(path)]
            row = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
            print(f"| {name} | {path.stat().st_size / 1e6:.0f} {row}", flush=True)


# --- shots


def view(
    image: Image.Image, at: tuple[float, float], zoom: float, light: float, rng: np.random.Generator
) -> Image.Image:
    """Return what a camera sees of a photo: a part of it, lighter or darker, with noise."""
    width, height = image.size
    left, top = width * (1 - zoom) * at[0], height * (1 - zoom) * at[1]
    part = (left, top, left + width * zoom, top + height * zoom)
    seen = np.asarray(image.resize((160, 90), Image.Resampling.BICUBIC, part), dtype=float)
    return Image.fromarray(np.clip(seen * light + rng.normal(0, 4, seen.shape), 0, 255).astype(np.uint8))


def small(image: Image.Image, side: int) -> npt.NDArray[np.float64]:
    return np.asarray(image.resize((side, side), Image.Resampling.BOX), dtype=float)


def histogram(image: Image.Image, bins: int = 4, side: int = 32) -> npt.NDArray[np.float64]:
    red, green, blue = np.moveaxis(small(image, side).astype(int) * bins // 256, 2, 0)
    return np.bincount(((red * bins + green) * bins + blue).ravel(), minlength=bins**3) / side**2


MEASURES: dict[str, Callable[[Image.Image, Image.Image], float]] = {
    "mean difference, 16 x 16": lambda a, b: float(np.abs(small(a, 16) - small(b, 16)).mean()),
    "mean difference, 4 x 4": lambda a, b: float(np.abs(small(a, 4) - small(b, 4)).mean()),
    "1 - correlation, 16 x 16": lambda a, b: float(1 - np.corrcoef(small(a, 16).ravel(), small(b, 16).ravel())[0, 1]),
    "colours, 8 x 8 x 8 bins": lambda a, b: float(np.abs(histogram(a, 8) - histogram(b, 8)).sum() / 2),
    "colours, 4 x 4 x 4 bins": lambda a, b: float(np.abs(histogram(a) - histogram(b)).sum() / 2),
}


def shots(folder: Path, count: int = 600) -> None:
    """Compare measures: a camera that moves by up to 30 % of its view, zooms by 10 %, in light of up to 12 % more."""
    names = {name for names in EXTENSIONS.values() for name in names}
    images = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in names):
        with Image.open(path) as image:
            image.thumbnail((900, 900))
            images.append(image.convert("RGB"))
    rng = np.random.default_rng(0)
    same, cut = [], []
    for _ in range(count):
        one, other = rng.choice(len(images), 2, replace=False)
        at, zoom, light = rng.uniform(0, 1, 2), rng.uniform(0.55, 0.9), rng.uniform(0.9, 1.1)
        angle = rng.uniform(0, 2 * np.pi)
        step = rng.uniform(0, 0.3) * zoom / (1 - zoom) * np.array([np.cos(angle), np.sin(angle)])
        moved = np.clip(at + step, 0, 1)
        before = view(images[one], tuple(at), zoom, light, rng)
        after = view(
            images[one], tuple(moved), min(0.95, zoom * rng.uniform(0.9, 1.1)), light * rng.uniform(0.88, 1.12), rng
        )
        new = view(images[other], tuple(rng.uniform(0, 1, 2)), rng.uniform(0.5, 0.9), rng.uniform(0.9, 1.1), rng)
        same.append([measure(before, after) for measure in MEASURES.values()])
        cut.append([measure(before, new) for measure in MEASURES.values()])
    print(f"{len(images)} photos, {count} movements of a camera, {count} cuts")
    print("| measure | cuts above movements (AUC) | cuts found, if 5 % of movements are taken for one | threshold |")
    print("| --- " * 4 + "|")
    for name, a, b in zip(MEASURES, np.array(same).T, np.array(cut).T, strict=True):
        threshold = np.quantile(a, 0.95)
        above = np.mean(b[:, None] > a[None, :])
        print(f"| {name} | {above:.3f} | {np.mean(b > threshold):.3f} | {threshold:.2f} |")
    a, b = np.array(same)[:, -1], np.array(cut)[:, -1]
    print(
        f"the last, at {CHANGED}: {np.mean(b > CHANGED):.3f} of the cuts, {np.mean(a > CHANGED):.3f} of the movements"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--shots", type=Path, metavar="FOLDER")
    parser.add_argument("--pick", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.pick:
        pick(arguments.pick)
    elif arguments.shots:
        shots(arguments.shots)
    else:
        speed(arguments.seconds)


if __name__ == "__main__":
    main()
