"""Measure how far a vector made from a stored preview lies from one made from the photo.

    python benchmarks/previews.py [--photos DIR] [--models builtin local-dir:FOLDER]

Without --photos, data/demo. Prints the previews' size, the least and the mean cosine, and how many of each photo's
nearest 10 stay when both sides come from previews.
"""

import argparse
from pathlib import Path

import numpy as np

from core.resources import data_path
from encoders.base import unit
from encoders.precision import overlap
from encoders.registry import load
from glimpse.defaults import settings
from media.kinds import expected_photo
from media.photo import decode_photo, decode_preview
from store.previews import PREVIEW_SIZE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=data_path("demo"))
    parser.add_argument("--models", nargs="+", default=["builtin"])
    options = parser.parse_args()
    files = sorted(path for path in options.photos.rglob("*") if path.is_file() and expected_photo(path))
    for model in options.models:
        encoder = load(model, settings().cache)
        pixels, again, sizes = [], [], []
        for path in files:
            photo = decode_photo(path.read_bytes(), path.name, encoder.image_input, PREVIEW_SIZE)
            assert photo.preview is not None
            pixels.append(photo.frames[0])
            again.append(decode_preview(photo.preview, encoder.image_input))
            sizes.append(len(photo.preview))
        first, second = (unit(encoder.encode_images(np.stack(each))) for each in (pixels, again))
        cosines = np.sum(first * second, axis=1)
        kept = overlap(first, first, second, second, own=True)
        print(
            f"{model.rpartition('/')[2]}: {len(files)} photos, previews of {np.mean(sizes) / 1000:.1f} KB, cosine "
            f"{cosines.min():.4f} at least, {cosines.mean():.4f} in the mean, {kept:.3f} of the nearest 10 stay"
        )


if __name__ == "__main__":
    main()
