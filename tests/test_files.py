"""Reading a file once, and telling what it is."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import xxhash

from core.errors import MediaError, TemporaryMediaError
from core.types import FileStat
from media import files, kinds
from media.files import read_file, read_head
from tests.conftest import ROOT

POSIX = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX file system")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def in_time(path: Path) -> MediaError:
    """Return what reading raises, within ten seconds."""
    caught: list[MediaError] = []

    def read() -> None:
        try:
            read_file(str(path))
        except MediaError as error:
            caught.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "it hangs"
    return caught[0]


# --- read_file


def test_a_file_comes_whole_with_its_digest_and_stat(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"some bytes")
    file = read_file(str(path))
    assert file.data == b"some bytes"
    assert file.digest == xxhash.xxh3_128_digest(b"some bytes")
    assert file.stat == FileStat.of(path.stat())
    assert file.stat.size == 10


def test_the_digest_is_of_every_byte(tmp_path: Path) -> None:
    body = bytearray(os.urandom(5_000_000))
    digests = set()
    for number, at in enumerate([0, 2_500_000, 4_999_999]):
        path = tmp_path / str(number)
        changed = bytearray(body)
        changed[at] ^= 1
        path.write_bytes(changed)
        file = read_file(str(path))
        assert file.data == changed
        assert file.digest == xxhash.xxh3_128_digest(bytes(changed))
        digests.add(file.digest)
    assert len(digests) == 3


def test_equal_bytes_have_equal_digests_whatever_the_name(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.png"):
        (tmp_path / name).write_bytes(b"x" * 1000)
    assert read_file(str(tmp_path / "a.jpg")).digest == read_file(str(tmp_path / "b.png")).digest


@POSIX
@pytest.mark.skipif(sys.platform == "darwin", reason="APFS wants UTF-8 names")
@pytest.mark.parametrize("name", [b"caf\xe9_\xff.jpg", b"\x80", b"new\nline.jpg", "日本.jpg".encode(), b"-n"])
def test_names_need_not_be_utf8(tmp_path: Path, name: bytes) -> None:
    path = os.path.join(os.fsencode(tmp_path), name)
    with open(path, "wb") as file:
        file.write(b"bytes")
    assert read_file(path).data == b"bytes"
    assert read_file(os.fsdecode(path)).data == b"bytes"
    assert read_head(path, 3) == b"byt"


def test_a_link_is_read_through(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"bytes")
    (tmp_path / "link").symlink_to("a")
    assert read_file(str(tmp_path / "link")).data == b"bytes"


@POSIX
def test_a_fifo_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.jpg")
    error = in_time(tmp_path / "fifo.jpg")
    assert str(error) == "not a regular file"
    assert not isinstance(error, TemporaryMediaError)
    assert read_head(str(tmp_path / "fifo.jpg"), 9) == b""


@POSIX
def test_a_device_is_refused() -> None:
    assert str(in_time(Path("/dev/zero"))) == "not a regular file"
    assert read_head("/dev/zero", 9) == b""


@POSIX
def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert str(in_time(tmp_path)) == "not a regular file"
    assert read_head(str(tmp_path), 9) == b""


@POSIX
def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.jpg")
        assert isinstance(in_time(Path("socket.jpg")), MediaError)


def test_a_missing_file_may_be_there_next_time(tmp_path: Path) -> None:
    error = in_time(tmp_path / "gone.jpg")
    assert isinstance(error, TemporaryMediaError)
    assert str(error) == "no such file or directory"


def test_a_link_to_nowhere_may_lead_somewhere_next_time(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    assert isinstance(in_time(tmp_path / "link"), TemporaryMediaError)


@POSIX
def test_a_link_to_itself_is_no_endless_way(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("link")
    assert isinstance(in_time(tmp_path / "link"), TemporaryMediaError)


def test_an_empty_file_is_no_photo(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    error = in_time(tmp_path / "a.jpg")
    assert str(error) == "the file is empty (0 bytes)"
    assert not isinstance(error, TemporaryMediaError)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "a.jpg", "wb") as file:
        file.truncate(files.MAX_BYTES + 1)
    assert str(in_time(tmp_path / "a.jpg")) == "the file is larger than 1 GB"


def test_the_largest_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 1000)
    (tmp_path / "a").write_bytes(b"x" * 1000)
    assert len(read_file(str(tmp_path / "a")).data) == 1000


@POSIX
def test_a_file_that_may_not_be_read_may_be_next_time(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"bytes")
    path.chmod(0)
    if os.geteuid() != 0:
        error = in_time(path)
        assert (type(error), str(error)) == (TemporaryMediaError, "permission denied")
        return
    # Nothing is denied to root: a child that has become somebody else reads it, from inside the folder.
    tmp_path.chmod(0o755)
    (tmp_path / "b.jpg").write_bytes(b"bytes")
    code = (
        "import os, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from core.errors import TemporaryMediaError\n"
        "from media.files import read_file, read_head\n"
        "os.setgroups([]), os.setgid(65534), os.setuid(65534)\n"
        "assert read_file('b.jpg').data == b'bytes'\n"
        "try:\n"
        "    read_file('a.jpg')\n"
        "except TemporaryMediaError as error:\n"
        "    print(error, read_head('a.jpg', 9))\n"
    )
    command = [sys.executable, "-c", code, ROOT]
    child = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if "Operation not permitted" in child.stderr:
        pytest.skip("this root may not become somebody else")
    assert (child.stdout, child.stderr) == ("permission denied b''\n", "")


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"x" * 99),
        lambda path: path.write_bytes(b"x" * 2000),
        lambda path: os.utime(path, ns=(0, 12345)),
    ],
    ids=["shrinks", "grows", "is written again"],
)
def test_a_file_that_changes_while_it_is_read_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object]
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"x" * 1000)
    real = os.fstat

    def fstat(descriptor: int) -> os.stat_result:
        before = real(descriptor)
        monkeypatch.setattr(os, "fstat", real)
        change(path)
        return before

    monkeypatch.setattr(os, "fstat", fstat)
    with pytest.raises(TemporaryMediaError, match="the file changed while it was read"):
        read_file(str(path))
    assert read_file(str(path)).data == path.read_bytes()


@pytest.mark.parametrize("call", ["open", "read", "fstat"])
def test_a_failing_disk_is_a_reason_without_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"bytes")

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(TemporaryMediaError, match=r"^input/output error$"):
            read_file(str(path))
        assert read_head(str(path), 9) == b""


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "whole").write_bytes(b"bytes")
    os.mkfifo(tmp_path / "fifo")
    before = descriptors()
    for path in [tmp_path, *tmp_path.iterdir(), tmp_path / "gone"]:
        for _ in range(5):
            read_head(str(path), 9)
            with contextlib.suppress(MediaError):
                read_file(str(path))
    assert descriptors() == before


# --- read_head


def test_the_head_of_a_short_file_is_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert read_head(str(tmp_path / "a"), 2) == b"ab"
    assert read_head(str(tmp_path / "a"), 99) == b"abc"


def test_a_file_that_cannot_be_read_has_no_head(tmp_path: Path) -> None:
    assert read_head(str(tmp_path / "gone"), 9) == b""


# --- kinds


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG"),
        (b"\xff\xd8\xff\xe1\0\x10Exif", "JPEG"),
        (b"\xff\xd8", None),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "PNG"),
        (b"\x89PNG\n\x1a\n", None),
        (b"GIF87a", "GIF"),
        (b"GIF89a", "GIF"),
        (b"GIF90a", None),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "WEBP"),
        (b"RIFF\x10\0\0\0WAVEfmt ", None),
        (b"RIFF\x10\0\0\0AVI LIST", None),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"MM\0*\0\0\0\x08", "TIFF"),
        (b"II+\0\x08\0\0\0", "TIFF"),
        (b"MM\0+\0\x08\0\0", "TIFF"),
        (b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0", "BMP"),
        (b"BMW 320i, blue, 1988", None),
        (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miaf", "AVIF"),
        (b"\0\0\0\x20ftypavis\0\0\0\0avifavismsf1", "AVIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x1cftypheix\0\0\0\0mif1heixmiaf", "HEIF"),
        (b"\0\0\0\x18ftyphevc\0\0\0\0msf1hevc", "HEIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "RAW"),
        (b"II*\0\x10\0\0\0CR\2\0", "RAW"),
        (b"IIU\0\x18\0\0\0", "RAW"),
        (b"IIRO\x08\0\0\0", "RAW"),
        (b"IIRS\x08\0\0\0", "RAW"),
        (b"MMOR\0\0\0\x08", "RAW"),
        (b"FUJIFILMCCD-RAW 0201FF383501", "RAW"),
        (b"II\x1a\0\0\0HEAPCCDR\2\0\1\0", "RAW"),
        (b"FOVb\0\0\2\0", "RAW"),
        (b"\0MRM\0\0\0\0", "RAW"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", None),
        (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41", None),
        (b"%PDF-1.7", None),
        (b"%!PS-Adobe-3.0 EPSF-3.0", None),
        (b"8BPS\0\1", None),
        (b"ID3\4", None),
        (b"\0" * 32, None),
        (b"", None),
    ],
)
def test_the_first_bytes_tell_the_kind(head: bytes, kind: str | None) -> None:
    assert kinds.sniff(head) == kind
    assert kinds.sniff(head.ljust(kinds.HEAD_BYTES, b"\0")[: kinds.HEAD_BYTES]) == kind
    assert kind is None or kind in kinds.PHOTO_FORMATS


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jpg", True),
        ("A.JPEG", True),
        ("a.b.Png", True),
        ("folder/a.tif", True),
        ("a.heic", True),
        ("a.CR2", True),
        ("a.txt", False),
        ("a.mp4", False),
        ("jpg", False),
        (".jpg", False),
        ("folder.jpg/a", False),
        ("a.jpg.part", False),
        ("", False),
        (Path("a.webp"), True),
    ],
)
def test_a_name_says_what_people_expect(name: str | Path, expected: bool) -> None:
    assert kinds.expected_photo(name) is expected


@pytest.mark.parametrize(
    ("head", "name", "kind"),
    [
        (b"II*\0\x08\0\0\0", "a.NEF", "RAW"),
        (b"MM\0*\0\0\0\x08", "a.dng", "RAW"),
        (b"II*\0\x08\0\0\0", "a.tif", "TIFF"),
        (b"II*\0\x10\0\0\0CR\2\0", "a", "RAW"),
        (b"\xff\xd8\xff\xe0", "a.dng", "JPEG"),
        (b"Dear diary", "a.dng", None),
    ],
)
def test_of_what_begins_like_a_tiff_the_name_tells_the_raw(head: bytes, name: str, kind: str | None) -> None:
    assert kinds.photo_format(head, name) == kind


def test_extensions_are_lower_case_and_of_one_kind() -> None:
    names = [name for of_format in kinds.EXTENSIONS.values() for name in of_format]
    assert [kinds.extension(f"a{name.upper()}") for name in names] == names
    assert len(set(names)) == len(names)
