"""Tell a question that is longer than the model reads: every tokenizer cuts, and none says so."""

import string

import numpy as np

from encoders.base import Encoder

SHORT_ENOUGH = 100
"""Bytes that every model reads whole: the narrowest takes 32 tokens, of three letters and more."""


def is_cut(encoder: Encoder, text: str) -> bool:
    """Say whether a model reads only the beginning of a text: without its last letter the vector is the same."""
    if len(text.encode(errors="replace")) <= SHORT_ENOUGH:
        return False
    shorter = text.rstrip(string.punctuation + string.whitespace)[:-1]
    whole, part = encoder.encode_texts([text, shorter])
    return bool(np.abs(whole - part).max() < 1e-6)
