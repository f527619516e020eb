"""Let Pillow read HEIC and HEIF, once somebody needs it: importing the library takes longer than a small photo."""

import functools


@functools.cache
def register_heif() -> None:
    """Teach Pillow the format "HEIF"; what is not the photo itself (thumbnails, depth, masks) is left alone.

    pillow_heif would otherwise decode an embedded thumbnail in the photo's place where a draft is asked for.
    """
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
