"""Every family of open_clip as small as it can be built, with random weights, in folders as the hub lays them out."""

import hashlib
import importlib
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import constants

TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
FOREIGN = {
    "context_length": 12,
    "vocab_size": 300,
    "hf_tokenizer_name": "nobody/nothing",
    "tokenizer_kwargs": {"clean": "canonicalize"},
    "width": 32,
    "heads": 2,
    "layers": 2,
    "no_causal_mask": True,
    "proj_bias": True,
    "pool_type": "last",
    "norm_kwargs": {"eps": 1e-6},
    "act_kwargs": {"approximate": "tanh"},
}
VIT = {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8}
OPENAI = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}
HALF = {"mean": [0.5] * 3, "std": [0.5] * 3}
SQUASH = {"interpolation": "bicubic", "resize_mode": "squash"}


def timm(name: str, size: int, pool: str, proj: str | None) -> dict[str, Any]:
    return {"image_size": size, "timm_model_name": name, "timm_pool": pool, "timm_proj": proj}


def clip(vision: dict[str, Any], text: dict[str, Any] = TEXT, **more: Any) -> dict[str, Any]:
    return {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text, **more}


FAMILIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "vit": (clip(VIT), OPENAI),
    "vit-quickgelu": (clip(VIT, quick_gelu=True), OPENAI | {"resize_mode": "shortest", "interpolation": "bicubic"}),
    "resnet": (clip({"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}), OPENAI),
    "siglip2": (
        clip(timm("test_vit3", 160, "map", "none"), FOREIGN, embed_dim=96, init_logit_bias=-10, custom_text=True),
        HALF | SQUASH,
    ),
    "pe": (
        clip(timm("vit_pe_core_tiny_patch16_384", 384, "map", None), custom_text=True, embed_dim=512),
        HALF | {"interpolation": "bilinear", "resize_mode": "squash"},
    ),
    "convnext": (clip(timm("test_convnext", 160, "", "linear")), OPENAI),
    "timm-resnet": (clip(timm("test_resnet", 160, "avg", "mlp")), {"mean": [0.0] * 3, "std": [1.0] * 3}),
    "coca": (
        clip(
            VIT | {"attentional_pool": True, "attn_pooler_queries": 8, "attn_pooler_heads": 2, "output_tokens": True},
            TEXT | {"embed_cls": True, "output_tokens": True},
            embed_dim=32,
            multimodal_cfg={"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
            custom_text=True,
        ),
        OPENAI,
    ),
    "transformers-text": (
        clip(VIT, {"hf_model_name": "nobody/nothing", "hf_tokenizer_name": "nobody/nothing", "context_length": 12,
                   "hf_proj_type": "mlp", "hf_pooler_type": "mean_pooler"}),
        OPENAI | {"interpolation": "bilinear", "resize_mode": "longest"},
    ),
    "mobileclip2-s0": (
        clip(timm("tiny_fastvit_mci0", 256, "avg", None), TEXT | {"no_causal_mask": True}, custom_text=True),
        {"mean": [0.0] * 3, "std": [1.0] * 3, "interpolation": "bilinear", "resize_mode": "shortest"},
    ),
    "mobileclip2-s3": (
        clip(timm("tiny_fastvit_mci3", 256, "avg", None), TEXT | {"no_causal_mask": True}, custom_text=True),
        OPENAI | {"interpolation": "bilinear", "resize_mode": "shortest"},
    ),
    "eva02": (clip(timm("tiny_eva02_clip", 224, "token", None), custom_text=True), OPENAI),
}  # fmt: skip


def tiny_model(folder: Path, family: str) -> Path:
    """Write a model of that family."""
    config, preprocess = FAMILIES[family]
    return write_model(folder, config, preprocess)


def write_model(folder: Path, config: dict[str, Any], preprocess: dict[str, Any]) -> Path:
    """Write a folder in the hub's layout; the random weights are lively, so that inputs come out different."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import open_clip
        import torch
        from safetensors.torch import save_file

        importlib.import_module("tests.tiny_timm")  # registers the towers that timm has in no small size

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    if config["text_cfg"].get("hf_tokenizer_name"):
        write_tokenizer(folder)
    staged = json.loads(json.dumps(config))
    if "hf_model_name" in staged["text_cfg"]:
        bert = {"model_type": "bert", "vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2}
        bert |= {"num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 32, "pad_token_id": 0}
        (folder / "config.json").write_text(json.dumps(bert))
        staged["text_cfg"]["hf_model_name"] = str(folder)
        (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": staged, "preprocess_cfg": preprocess}))
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2, generator=generator)
            elif name.endswith("running_mean"):
                value.normal_(0, 0.3, generator=generator)
            elif value.is_floating_point() and value.ndim >= 2:
                fan_in = 1 if "embed" in name else value[0].numel()
                value.normal_(0, fan_in**-0.5, generator=generator)
            elif value.is_floating_point() and name.endswith("bias"):
                value.normal_(0, 0.1, generator=generator)
    state = {name: value.contiguous().clone() for name, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    return folder


def write_tokenizer(folder: Path) -> None:
    """Write a byte-level tokenizer.json with a few merges, as SigLIP 2's is: one word, bytes for strangers."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocab = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3}
    vocab |= {f"<0x{byte:02X}>": 4 + byte for byte in range(256)}
    for piece in ["▁", *"abcdeghinorst", "▁a", "th", "in", "▁th", "an", "er", "▁c", "▁ca", "at", "▁d"]:
        vocab.setdefault(piece, len(vocab))
    pairs = "▁ a,t h,i n,▁ th,a n,e r,▁ c,▁c a,a t,▁ d"
    merges = [tuple(pair.split(" ")) for pair in pairs.split(",")]
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    tokenizer.add_special_tokens(["<pad>", "<eos>", "<bos>", "<unk>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"} | names))


OMNI_TOKENS = {
    "image_token": "<|image|>",
    "video_token": "<|video|>",
    "audio_token": "<|audio|>",
    "boi_token": "<|image>",
    "eoi_token": "<image|>",
    "boa_token": "<|audio>",
    "eoa_token": "<audio|>",
}
OMNI_PROMPTS = {"query": "task: search result | query: ", "document": "title: none | text: "}
OMNI_TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{{ part['text'] if part['type'] == 'text' else '<|' + part['type'] + '|>' }}"
    "{% endfor %}{% endfor %}"
)


def write_omni(folder: Path) -> Path:
    """Write EmbeddingGemma 2 as small as it can be built, sound included, with the files that the hub has of it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    write_omni_model(folder)
    modules = [Transformer(str(folder)), Pooling(24, pooling_mode="mean"), Normalize()]
    SentenceTransformer(modules=modules, prompts=OMNI_PROMPTS, device="cpu").save_pretrained(
        str(folder), create_model_card=False
    )
    return folder


def write_omni_model(folder: Path) -> None:
    """Write what transformers has of it: bf16 weights, tokenizer, and a processor with a quarter of the pixels."""
    import torch
    import transformers as hf

    vocab = {name: i for i, name in enumerate(["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *OMNI_TOKENS.values()])}
    vocab |= {f"<0x{byte:02X}>": len(vocab) + byte for byte in range(256)}
    for piece in ["▁", *"abcdefghijklmnopqrstuvwxyz:|", "▁a", "th"]:
        vocab.setdefault(piece, len(vocab))
    tokenizer = hf.GemmaTokenizer(
        vocab=vocab, merges=[("▁", "a"), ("t", "h")], add_bos_token=True, add_eos_token=True, padding_side="right",
        extra_special_tokens=OMNI_TOKENS, chat_template=OMNI_TEMPLATE,
    )  # fmt: skip
    ids = {f"{name}_id": vocab[token] for name, token in OMNI_TOKENS.items() if name != "eoa_token"}
    small = {"hidden_size": 32, "num_attention_heads": 2}
    config = hf.EmbeddingGemma2Config(
        text_config=hf.EmbeddingGemma2TextConfig(
            vocab_size=len(vocab), intermediate_size=64, num_hidden_layers=3, num_key_value_heads=1, head_dim=16,
            global_head_dim=32, num_global_key_value_heads=1, sliding_window=8, sliding_window_pattern=3,
            hidden_size_per_layer_input=16, embedding_dim=24, **small,
        ),
        vision_config=hf.Gemma4VisionConfig(
            intermediate_size=64, num_hidden_layers=2, num_key_value_heads=2, head_dim=16, global_head_dim=16,
            default_output_length=70, position_embedding_size=1024, use_clipped_linears=False, **small,
        ),
        audio_config=hf.Gemma4AudioConfig(num_hidden_layers=1, output_proj_dims=32, **small),
        eoa_token_index=vocab["<audio|>"],
        **ids,
    )  # fmt: skip
    torch.manual_seed(0)
    model = hf.EmbeddingGemma2Model(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point() and value.ndim >= 2:
                value.normal_(0, 1 if "embed_tokens" in name else value[0].numel() ** -0.5, generator=generator)
    model.to(torch.bfloat16).save_pretrained(folder)
    hf.EmbeddingGemma2Processor(
        image_processor=hf.Gemma4ImageProcessor(image_seq_length=70, max_soft_tokens=70),
        video_processor=hf.EmbeddingGemma2VideoProcessor(max_soft_tokens=70),
        feature_extractor=hf.Gemma4AudioFeatureExtractor(),
        tokenizer=tokenizer,
        chat_template=OMNI_TEMPLATE,
        image_seq_length=70,
        audio_seq_length=70,
    ).save_pretrained(folder)


def into_hub(repo: str, folder: Path, revision: str = "c0ffee") -> Path:
    """Lay a folder into the Hugging Face cache as a download does, a link for every file; returns the snapshot."""
    place = Path(constants.HF_HUB_CACHE, f"models--{repo.replace('/', '--')}")
    snapshot = place / "snapshots" / revision
    for path in folder.rglob("*"):
        if path.is_file():
            blob = place / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
            blob.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, blob)
            link = snapshot / path.relative_to(folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(blob)
    return snapshot


def unit(rows: Any) -> Any:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def tiny_encoder(folder: Path) -> Any:
    """Return an encoder of a model, exported in this process: a child would take ten seconds to import torch."""
    import logging

    from encoders.openclip import OnnxTowers, OpenClipEncoder
    from encoders.openclip_source import find_source
    from encoders.runtime import Export

    logging.getLogger("torch.__trace").propagate = False  # pytest would keep its thousands of lines
    name = f"local-dir:{folder}"
    source = find_source(name, name, "", folder.parent)
    target = folder.parent / f"export-{source.revision}"
    target.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from encoders.openclip_export import export

        export(str(target), source.to_json())
    made = Export(target)
    return OpenClipEncoder(source, made, OnnxTowers(made))
