"""Pretrained models to unit vectors: the only room that knows torch and onnxruntime."""

import os

# onnxruntime reports to Microsoft what it runs (its Privacy.md) unless this is set before it is imported: the import
# alone writes a device id to the home folder. putenv reaches its C++ code, and every process that we start.
os.putenv("ORT_DISABLE_TELEMETRY", "1")
