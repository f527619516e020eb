"""Write a model of open_clip at its full size with random weights: what it costs can be measured without a download.

    python benchmarks/random_model.py ViT-B-32-SigLIP2-256 FOLDER
    python benchmarks/latency.py --models builtin local-dir:FOLDER

A model with a tokenizer of its own gets a byte-pair encoding of as many pieces as its vocabulary has, made up from
letters of three scripts, and about one merge a piece; SigLIP 2's has two.
"""

import json
import random
import sys
from pathlib import Path

import open_clip
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, processors


def write_tokenizer(folder: Path, size: int) -> None:
    dice = random.Random(0)
    vocabulary = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3} | {f"<0x{b:02X}>": 4 + b for b in range(256)}
    pieces = [chr(code) for code in (*range(97, 123), 0x2581, *range(0x400, 0x460), *range(0x4E00, 0x6600))]
    vocabulary |= {piece: 260 + place for place, piece in enumerate(pieces)}
    merges = []
    while len(vocabulary) < size:
        left, right = dice.choice(pieces[:120] + pieces[-3000:]), dice.choice(pieces[:120])
        if len(left + right) <= 16 and left + right not in vocabulary:
            vocabulary[left + right] = len(vocabulary)
            pieces.append(left + right)
            merges.append((left, right))
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    tokenizer.add_special_tokens(["<pad>", "<eos>", "<bos>", "<unk>"])
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    names = {"pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"} | names))


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    config = open_clip.get_model_config(name)
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    if config["text_cfg"].get("hf_tokenizer_name"):
        write_tokenizer(folder, config["text_cfg"]["vocab_size"])
    model = open_clip.create_model(name, pretrained=None)
    save_file(
        {key: value.contiguous() for key, value in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )


if __name__ == "__main__":
    main()
