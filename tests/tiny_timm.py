"""Image towers of timm that it has in no small size, registered with it as small as they can be built."""

from typing import Any

from timm.models import eva, fastvit, register_model


@register_model
def tiny_fastvit_mci0(**settings: Any) -> Any:
    """Build MobileCLIP2-S0's tower."""
    return fastvit.fastvit_mci0(layers=(1, 1, 1, 1), embed_dims=(16, 32, 64, 128), **settings)


@register_model
def tiny_fastvit_mci3(**settings: Any) -> Any:
    """Build MobileCLIP2-S3's tower, which has other norms and a fifth stage."""
    return fastvit.fastvit_mci3(layers=(1, 1, 1, 1, 1), embed_dims=(8, 16, 32, 64, 128), **settings)


@register_model
def tiny_eva02_clip(**settings: Any) -> Any:
    """Build EVA02-B-16's tower."""
    return eva.eva02_base_patch16_clip_224(depth=2, embed_dim=64, num_heads=2, **settings)
