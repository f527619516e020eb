"""How fast sound is decoded into windows, drawn as a spectrogram, and how much memory an hour of it takes.

    OPENBLAS_NUM_THREADS=1 python benchmarks/audio.py [--minutes 10] [--memory]

Speed is seconds of sound per second of processor time of one thread, as in the decode process; 48 kHz mono, for an
encoder that wants 48 kHz and one that wants 16 kHz; each figure is the best of three. The sound is made on the spot:
chords and noise that come and go, so that nothing is silent and no codec has it easy. --memory adds the peak of
resident memory for an hour, windows and spectrogram together, in a process of its own.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.audio import AudioStream

from core.types import Samples
from media.playback import Playback
from media.recording import Recording, open_recording
from media.sound import blocks, windows
from media.spectrogram import picture

RATE = 48_000
FILES = {
    "mp3": ("mp3", "libmp3lame", 128_000),
    "m4a": ("ipod", "aac", 128_000),
    "wav": ("wav", "pcm_s16le", None),
    "flac": ("flac", "flac", None),
    "opus": ("ogg", "libopus", 64_000),
}
REPEATS = 3


def second(number: int) -> Samples:
    """Return the sound of one second, which depends on its number alone."""
    time = np.arange(RATE) / RATE
    dice = np.random.default_rng(number)
    sound = sum(np.sin(2 * np.pi * hertz * time) for hertz in dice.uniform(100, 4000, 3)) / 6
    swell = np.sin(np.pi * time) * dice.uniform(0.2, 1)
    made: Samples = ((sound + dice.normal(0, 0.05, RATE)) * swell).astype(np.float32)
    return made


def write(path: Path, seconds: int) -> None:
    """Write so many seconds, one at a time."""
    form, codec, bit_rate = FILES[path.suffix[1:]]
    with av.open(str(path), "w", format=form) as out:
        stream = cast(AudioStream, out.add_stream(codec, rate=RATE, layout="mono"))
        if bit_rate:
            stream.bit_rate = bit_rate
        resampler = av.AudioResampler(stream.format, stream.layout, RATE, frame_size=stream.frame_size or 4096)
        for number in range(seconds):
            frame = av.AudioFrame.from_ndarray(second(number)[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, number * RATE, Fraction(1, RATE)
            for ready in resampler.resample(frame):
                out.mux(stream.encode(ready))
        for ready in resampler.resample(None):
            out.mux(stream.encode(ready))
        out.mux(stream.encode(None))


def exhaust(items: Iterable[object]) -> None:
    deque(items, maxlen=0)


def decode(recording: Recording) -> None:
    exhaust(recording.container.decode(recording.sound))


PASSES: dict[str, Callable[[Recording], object]] = {
    "decoding alone": decode,
    "windows, 48 kHz": lambda recording: exhaust(windows(recording, 48_000)),
    "windows, 16 kHz": lambda recording: exhaust(windows(recording, 16_000)),
    "spectrogram": lambda recording: picture(blocks(recording)),
}


def speed(path: Path, seconds: int, name: str) -> float:
    """Return how many times faster than real time a pass through a file is, by processor time."""
    taken = []
    for _ in range(REPEATS):
        with open_recording(path) as recording:
            started = time.process_time()
            PASSES[name](recording)
            taken.append(time.process_time() - started)
    return seconds / min(taken)


def peak(path: Path) -> None:
    """Go through a file as the decode process does, and print the peak of resident memory in MB."""
    playback = Playback(os.fsencode(path), lambda: None)
    playback.digest()
    count = sum(len(lot) for lot in playback.windows(48_000))
    preview = playback.preview(512)
    unit = 1 if sys.platform == "darwin" else 1024
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    print(f"{path.suffix[1:]:6}{used:8.0f} MB, {count} windows, a preview of {len(preview or b'') / 1000:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        return peak(options.peak)
    with tempfile.TemporaryDirectory() as folder:
        print(f"x real time by processor time, {options.minutes} minutes, {RATE // 1000} kHz mono")
        print(f"{'':6}" + "".join(f"{name:>18}" for name in PASSES))
        for kind in FILES:
            path = Path(folder, f"a.{kind}")
            write(path, options.minutes * 60)
            print(f"{kind:6}" + "".join(f"{speed(path, options.minutes * 60, name):17.0f}x" for name in PASSES))
            path.unlink()
        if options.memory:
            print("an hour:")
            for kind in FILES:
                path = Path(folder, f"hour.{kind}")
                write(path, 3600)
                subprocess.run([sys.executable, __file__, "--peak", path], check=True)
                path.unlink()


if __name__ == "__main__":
    main()
