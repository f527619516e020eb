"""Pretrained models to unit vectors: the only room that knows torch and onnxruntime."""
