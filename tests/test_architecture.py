"""The house keeps its shape: arrows point down, heavy libraries stay in their rooms, only the face prints."""

import ast
import importlib.metadata
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

MAY_IMPORT = {
    "glimpse": {"indexer", "search", "media", "encoders", "store", "core"},
    "indexer": {"media", "encoders", "store", "core"},
    "search": {"media", "encoders", "store", "core"},
    "media": {"core"},
    "encoders": {"core"},
    "store": {"core"},
    "core": {"data"},
    "data": set(),
}
HOMES = {
    "torch": "encoders",
    "open_clip": "encoders",
    "timm": "encoders",
    "transformers": "encoders",
    "onnxruntime": "encoders",
    "tokenizers": "encoders",
    "safetensors": "encoders",
    "huggingface_hub": "encoders",
    "ftfy": "encoders",
    "faiss": "store",
    "sqlalchemy": "store",
    "alembic": "store",
    "sqlite3": "store",
    "openvino": "encoders",
    "rapidocr": "encoders",
    "sentence_transformers": "encoders",
    "PIL": "media",
    "av": "media",
    "soxr": "media",
    "pillow_heif": "media",
    "rawpy": "media",
    "defusedxml": "media",
    "reverse_geocode": "media",
    "pathspec": "indexer",
    "watchfiles": "indexer",
    "textual_image": "glimpse",
    "lark": "search",
    "click": "glimpse",
    "rich": "glimpse",
    "platformdirs": "glimpse",
}
MODULES = [path for room in MAY_IMPORT for path in sorted((ROOT / room).rglob("*.py"))]


def imports(path: Path) -> Iterator[str]:
    """Yield the top-level package of every import, those inside functions included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_point_down(path: Path) -> None:
    room = room_of(path)
    rooms = {name for name in imports(path) if name in MAY_IMPORT}
    assert rooms <= MAY_IMPORT[room] | {room}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_libraries_stay_in_their_rooms(path: Path) -> None:
    assert {name: HOMES[name] for name in imports(path) if HOMES.get(name, room_of(path)) != room_of(path)} == {}


@pytest.mark.parametrize(
    "path", [path for path in MODULES if room_of(path) != "glimpse"], ids=lambda path: str(path.relative_to(ROOT))
)
def test_only_the_face_prints_exits_and_reads_the_environment(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("print", "exit", "quit", "input")
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            named = f"{node.value.id}.{node.attr}"
            assert named not in ("sys.exit", "os.environ", "os.getenv", "os._exit", "sys.stdout", "sys.stderr")
        if isinstance(node, ast.Name):
            assert node.id != "SystemExit"
        if isinstance(node, ast.ImportFrom) and node.module in ("os", "sys"):
            assert not {alias.name for alias in node.names} & {
                "environ",
                "getenv",
                "exit",
                "_exit",
                "stdout",
                "stderr",
            }


def test_one_module_writes_vectors() -> None:
    writes = re.compile(r"insert\(vectors\)|into\s+\W?vectors\b", re.IGNORECASE)  # or in SQL's own words
    writers = [p for p in MODULES if writes.search(p.read_text(encoding="utf-8"))]
    assert writers == [ROOT / "store" / "batch.py"]


def test_modules_do_not_import_each_other_in_circles() -> None:
    names = {str(p.relative_to(ROOT).with_suffix("")).replace("/", ".").removesuffix(".__init__"): p for p in MODULES}
    graph = {name: top_level_imports(path) & names.keys() - {name} for name, path in names.items()}
    done: set[str] = set()
    while ready := {name for name in graph.keys() - done if graph[name] <= done}:
        done |= ready
    assert graph.keys() - done == set()


def top_level_imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    # `from glimpse import x` in glimpse.cli names a module; the package itself imports nothing when it is loaded.
    return found - {"glimpse"}


def test_no_dependency_brings_a_module_of_our_names() -> None:
    owners = importlib.metadata.packages_distributions()
    for room in MAY_IMPORT:
        assert set(owners.get(room, [])) <= {"glimpse-search"}
        module = sys.modules.get(room) or __import__(room)
        assert Path(str(module.__file__)).is_relative_to(ROOT)
