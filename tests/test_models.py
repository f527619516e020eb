"""`glimpse models`: which there are, and how one is fetched; the hub is a stand-in that writes into the cache."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from huggingface_hub import constants

from core.errors import ModelError
from core.types import Progress
from encoders import hub, registry
from glimpse.cli.models import models

SHA = "c0ffee" * 6 + "c0de"
OPEN_CLIP = {
    "open_clip_model.safetensors": 1000,
    "open_clip_pytorch_model.bin": 2000,
    "open_clip_config.json": 5,
    "tokenizer.json": 30,
    "modeling_own.py": 7,
    "README.md": 4,
}
OMNI = {
    "model.safetensors": 1000,
    "pytorch_model.bin": 2000,
    "config.json": 5,
    "processor_config.json": 6,
    "tokenizer.json": 30,
    "tokenizer_config.json": 3,
    "tokenizer.model": 9,
    "1_Pooling/config.json": 8,
}
CLAP = {
    "model.safetensors": 1000,
    "pytorch_model.bin": 2000,
    "config.json": 5,
    "preprocessor_config.json": 6,
    "vocab.json": 30,
    "merges.txt": 20,
    "special_tokens_map.json": 2,
    "tokenizer_config.json": 3,
    "README.md": 4,
}
RUNS_CODE = (".py", ".bin", ".pt", ".pth", ".pkl", ".ckpt", ".model", ".jinja", ".msgpack", ".h5")


class Hub:
    """A hub with one repository; `cut` ends the download before that file, as a lost connection does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, repo: str, files: dict[str, int]) -> None:
        self.repo, self.files, self.sha, self.cut = repo, dict(files), SHA, ""
        self.asked: list[str] = []
        self.fetched: list[tuple[str, str]] = []
        monkeypatch.setattr("huggingface_hub.HfApi", lambda: self)
        monkeypatch.setattr("huggingface_hub.snapshot_download", self.snapshot_download)
        monkeypatch.setattr("huggingface_hub.utils.disable_progress_bars", lambda: None)

    def model_info(self, repo: str, revision: str, files_metadata: bool) -> Any:
        self.asked.append(revision)
        assert (repo, files_metadata) == (self.repo, True)
        siblings = [SimpleNamespace(rfilename=name, size=size) for name, size in self.files.items()]
        return SimpleNamespace(sha=self.sha, siblings=siblings)

    def snapshot_download(self, repo: str, revision: str, allow_patterns: list[str]) -> str:
        assert repo == self.repo
        snapshot = Path(constants.HF_HUB_CACHE, f"models--{repo.replace('/', '--')}", "snapshots", revision)
        for name in allow_patterns:
            if name == self.cut:
                raise OSError("connection\nlost")
            if not (snapshot / name).exists():
                self.fetched.append((revision, name))
                (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
                (snapshot / name).touch()
        return str(snapshot)

    @property
    def names(self) -> list[str]:
        return [name for _, name in self.fetched]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Hub:
    return Hub(monkeypatch, "timm/ViT-B-32-SigLIP2-256", OPEN_CLIP)


@pytest.fixture
def omni(monkeypatch: pytest.MonkeyPatch) -> Hub:
    return Hub(monkeypatch, "google/embeddinggemma-2", OMNI)


@pytest.fixture
def clap(monkeypatch: pytest.MonkeyPatch) -> Hub:
    return Hub(monkeypatch, "laion/larger_clap_general", CLAP)


def get(name: str) -> Any:
    return CliRunner().invoke(models, ["get", name], catch_exceptions=False)


def test_licence_and_size_are_told_before_anything_is_fetched(small: Hub) -> None:
    small.cut = "open_clip_config.json"
    told: list[int] = []
    with pytest.raises(ModelError):
        hub.download(small.repo, hub.FILES, told.append)
    assert (told, small.fetched) == ([1035], [])
    small.cut = ""
    done = get("small")
    assert done.stderr == (
        f"small: licence Apache-2.0, from https://huggingface.co/{small.repo}\nsmall: 0 MB to {hub.folder()}\n"
    )
    assert done.stdout == f"{hub.folder()}/models--timm--ViT-B-32-SigLIP2-256/snapshots/{SHA}\n"


@pytest.mark.parametrize("name", ["small", "omni", "clap"])
def test_only_what_cannot_run_code_is_fetched_and_the_weights_last(name: str, request: pytest.FixtureRequest) -> None:
    stand_in: Hub = request.getfixturevalue(name)
    get(name)
    assert stand_in.names
    assert not [file for file in stand_in.names if file.endswith(RUNS_CODE)]
    assert stand_in.names[-1] == registry.preset(name).files[0]
    assert all(pattern.endswith((".safetensors", ".json", ".txt")) for pattern in registry.preset(name).files)
    assert stand_in.asked == [registry.preset(name).revision]


def test_clap_comes_from_where_it_is_no_pickle_with_its_tables(clap: Hub) -> None:
    get("clap")
    assert clap.asked == ["refs/pr/2"]
    assert set(clap.names) == CLAP.keys() - {"pytorch_model.bin", "README.md"}
    assert registry.preset("clap").ready


@pytest.mark.parametrize("name", ["small", "omni"])
def test_an_interrupted_download_goes_on_where_it_stopped(name: str, request: pytest.FixtureRequest) -> None:
    stand_in: Hub = request.getfixturevalue(name)
    stand_in.cut = registry.preset(name).files[0]
    with pytest.raises(ModelError, match=r"could not be downloaded: connection lost; the same command goes on where"):
        get(name)
    before = list(stand_in.fetched)
    assert before
    assert not registry.preset(name).ready
    stand_in.cut = ""
    get(name)
    assert stand_in.fetched[len(before) :] == [(SHA, registry.preset(name).files[0])]
    assert registry.preset(name).ready


def test_what_is_here_is_not_fetched_again_though_the_hub_has_a_newer_one(omni: Hub) -> None:
    get("omni")
    omni.sha, before = "f" * 40, list(omni.fetched)
    assert {revision for revision, _ in before} == {SHA}
    done = get("omni")
    assert (done.stderr, done.stdout, omni.fetched) == ("omni is here already\n", "", before)


def test_a_repository_without_safetensors_is_refused(small: Hub) -> None:
    del small.files["open_clip_model.safetensors"]
    with pytest.raises(
        ModelError,
        match=r"^timm/ViT-B-32-SigLIP2-256 has no open_clip_model\.safetensors, and other formats can run code$",
    ):
        get("small")
    assert small.fetched == []


def test_bars_are_for_terminals(small: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    off: list[bool] = []
    monkeypatch.setattr("huggingface_hub.utils.disable_progress_bars", lambda: off.append(True))
    hub.download(small.repo, hub.FILES, lambda _: None, bars=True)
    assert off == []
    hub.download(small.repo, hub.FILES, lambda _: None)
    assert off == [True]


def test_a_hub_that_cannot_be_reached_is_one_line(small: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> Any:
        raise OSError("no\nroute")

    monkeypatch.setattr(small, "model_info", unreachable)
    with pytest.raises(ModelError, match=r"^timm/ViT-B-32-SigLIP2-256 could not be downloaded: no route; the same"):
        get("small")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("builtin", "builtin is here already"),
        ("open_clip:a/b", "is none of the models in the list"),
        ("nobody", "there is no model 'nobody'; the models are: builtin, small, base, large, omni, clap, open_clip:"),
    ],
)
def test_what_cannot_or_need_not_be_fetched_is_told_without_asking_the_hub(name: str, said: str, small: Hub) -> None:
    small.repo = "asked for nothing"
    try:
        assert said in get(name).stderr
    except ModelError as error:
        assert said in str(error)


def test_the_list_shows_licence_size_state_and_which_is_the_default(small: Hub) -> None:
    lines = CliRunner().invoke(models).stdout.splitlines()
    assert [line.split()[0] for line in lines[::2]] == ["builtin", "small", "base", "large", "omni", "clap"]
    assert lines[1].strip() == "ready, the default; Apache-2.0; 110 MB"
    assert lines[9].strip() == "not downloaded (glimpse models get omni); Apache-2.0; 1,500 MB"
    assert lines[11].strip() == "not downloaded (glimpse models get clap); Apache-2.0; 780 MB"
    get("small")
    lines = CliRunner().invoke(models).stdout.splitlines()
    assert lines[1].strip() == "ready; Apache-2.0; 110 MB"
    assert lines[3].strip() == "ready, the default; Apache-2.0; 1,500 MB"


def test_the_list_as_json() -> None:
    rows = [json.loads(line) for line in CliRunner().invoke(models, ["--json"]).stdout.splitlines()]
    assert [set(row) for row in rows] == [{"name", "ready", "default", "what", "licence", "megabytes"}] * 6
    assert [row["name"] for row in rows if row["ready"]] == ["builtin"]
    assert [row["name"] for row in rows if row["default"]] == ["builtin"]


# --- licences


def test_no_preset_is_for_research_only() -> None:
    for preset in registry.presets().values():
        assert preset.licence in {"Apache-2.0", "MIT", "BSD-3-Clause"}
        assert registry.research_only(preset.source) == ""


@pytest.mark.parametrize(
    ("source", "licence"),
    [
        ("open_clip:MobileCLIP2-S0/dfndr2b", "Apple ML Research Model licence"),
        ("open_clip:MobileCLIP-B/datacompdr", "Apple ML Research Model licence"),
        ("open_clip:ViT-H-14-378-quickgelu/dfn5b", "Apple ML Research Model licence"),
        ("open_clip:ViT-B-16/dfn2b", "Apple ML Research Model licence"),
        ("open_clip:ViT-B-32-quickgelu/metaclip_400m", "CC-BY-NC 4.0"),
        ("open_clip:ViT-H-14-worldwide-quickgelu/metaclip2_worldwide", "CC-BY-NC 4.0"),
        ("open_clip:nllb-clip-base/v1", "CC-BY-NC 4.0"),
        ("open_clip:ViT-B-32/laion2b_s34b_b79k", ""),
        ("open_clip:ViT-B-32-256/datacomp_s34b_b86k", ""),
        ("local-dir:/home/dfn/mobileclip", ""),
        ("", ""),
    ],
)
def test_weights_for_research_only_are_known(source: str, licence: str) -> None:
    assert registry.research_only(source) == licence


def test_whoever_uses_them_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(cache: Path, progress: Callable[[Progress], None] | None, preset: registry.Preset) -> str:
        return preset.source

    monkeypatch.setattr("encoders.openclip.load", load)
    told: list[Progress] = []
    for name in ("open_clip:ViT-B-16/dfn2b", "open_clip:ViT-B-16/dfn2b", "open_clip:ViT-B-32/laion2b_s34b_b79k"):
        assert registry.load(name, tmp_path, told.append) == name
    said = "open_clip:ViT-B-16/dfn2b: these weights are for research only (Apple ML Research Model licence)"
    assert [progress.stage for progress in told] == [said]
    registry.load("open_clip:ViT-B-16/dfn2b", tmp_path)  # nobody listens
