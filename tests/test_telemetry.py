"""What we run reports to nobody: these libraries would, unless they are told otherwise."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.tiny_models import tiny_encoder, tiny_model

BEGIN = (
    "import pathlib, socket, sys\n"
    "sys.path.insert(0, sys.argv[1])\n"
    "def refuse(*_, **__): raise SystemExit('a socket was opened')\n"
    "socket.socket.__init__ = socket.create_connection = refuse\n"
)


def run(home: Path, code: str, *arguments: object) -> str:
    """Run code in a process that can open no socket; returns what it prints, if it leaves nothing in its home."""
    home.mkdir()
    kept = {key: value for key, value in os.environ.items() if key not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    command = [sys.executable, "-c", BEGIN + code, str(ROOT), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=kept | {"HOME": str(home)})
    assert done.stderr == ""
    assert list(home.iterdir()) == []
    return done.stdout


@pytest.mark.parametrize("module", ["runtime", "builtin", "openclip", "graph", "precision"])
def test_onnxruntime_leaves_no_device_id(tmp_path: Path, module: str) -> None:
    """It does so when it is imported, whichever of our modules is first to do that."""
    code = f"import encoders.{module}\nprint('onnxruntime' in sys.modules)\n"
    assert run(tmp_path / "home", code) == "True\n"


@pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")
def test_openvino_has_its_telemetry_not_even_imported(tmp_path: Path) -> None:
    encoder = tiny_encoder(tiny_model(tmp_path / "vit", "vit"))
    code = (
        "import numpy\n"
        "from encoders import precision\n"
        "from encoders.runtime import Export\n"
        "precision.BF16 = 'f32'\n"
        "images = precision.OpenVinoImages(Export(pathlib.Path(sys.argv[2])))\n"
        "assert len(images.images(numpy.zeros((2, 32, 32, 3), numpy.uint8))) == 2\n"
        "print([name for name in sys.modules if name.startswith('openvino_telemetry') and sys.modules[name]])\n"
    )
    assert run(tmp_path / "home", code, encoder.export.folder) == "[]\n"
