"""CLAP as small as it can be built, with random weights, in a folder as the hub lays it out."""

import json
from pathlib import Path
from typing import Any

PREPROCESSOR = {
    "feature_extractor_type": "ClapFeatureExtractor",
    "chunk_length_s": 10,
    "feature_size": 64,
    "fft_window_size": 1024,
    "frequency_max": 14000,
    "frequency_min": 50,
    "hop_length": 480,
    "max_length_s": 10,
    "n_fft": 1024,
    "nb_frequency_bins": 513,
    "nb_max_samples": 480000,
    "padding": "repeatpad",
    "padding_side": "right",
    "padding_value": 0.0,
    "processor_class": "ClapProcessor",
    "return_attention_mask": False,
    "sampling_rate": 48000,
    "top_db": None,
    "truncation": "rand_trunc",
}
"""What the hub has of the real one, without fusion."""
SOUND = {
    "patch_embeds_hidden_size": 16,
    "hidden_size": 32,
    "depths": [2, 1],
    "num_attention_heads": [2, 2],
    "num_hidden_layers": 2,
}
TEXT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
DIM = 24
MERGES = ["t h", "Ġ th", "Ġ a", "Ġ c", "i n", "Ġc a", "Ġca t", "Ġ d", "o g", "Ġd og", "Ġ s", "Ġs o", "u n", "a r"]


def write_clap(folder: Path, fusion: bool = False) -> Path:
    """Write a model: its weights are lively, so that inputs come out different; its tokenizer lies in tables."""
    import torch
    import transformers as hf

    words = write_words(folder)
    config = hf.ClapConfig(
        text_config=TEXT | {"vocab_size": words, "max_position_embeddings": 90},
        audio_config=SOUND | ({"enable_fusion": True} if fusion else {}),
        projection_dim=DIM,
    )
    model = hf.ClapModel(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            enliven(name, value, generator)
    model.save_pretrained(folder)
    truncation = {"truncation": "fusion"} if fusion else {}
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR | truncation))
    return folder


def enliven(name: str, value: Any, generator: Any) -> None:
    """Draw a weight as training might have left it."""
    if name == "audio_model.audio_encoder.batch_norm.running_mean":
        value.normal_(-40, 5, generator=generator)  # dB
    elif name == "audio_model.audio_encoder.batch_norm.running_var":
        value.uniform_(300, 500, generator=generator)
    elif not value.is_floating_point() or name.endswith("running_var"):
        return
    elif value.ndim >= 2:
        fan_in = 1 if "embedding" in name or "bias_table" in name else value[0].numel()
        value.normal_(0, fan_in**-0.5, generator=generator)
    elif name.endswith("bias"):
        value.normal_(0, 0.1, generator=generator)


def write_words(folder: Path) -> int:
    """Write RoBERTa's tokenizer with a few merges, as vocab.json and merges.txt; returns how many tokens it has."""
    from tokenizers.pre_tokenizers import ByteLevel

    pieces = ["<s>", "<pad>", "</s>", "<unk>", *sorted(ByteLevel.alphabet())]
    pieces += [merge.replace(" ", "") for merge in MERGES] + ["<mask>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *MERGES, ""]), encoding="utf-8")
    named = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "unk_token": "<unk>"}
    named |= {"pad_token": "<pad>", "mask_token": "<mask>"}
    (folder / "special_tokens_map.json").write_text(json.dumps(named))
    settings = named | {"tokenizer_class": "RobertaTokenizer", "model_max_length": 512, "add_prefix_space": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return len(pieces)
