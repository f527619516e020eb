"""Which files are one picture."""

import pytest

from indexer.pairs import companions

TABLE = {
    "a Live Photo": (["a/IMG_1.HEIC", "a/IMG_1.MOV"], {"a/IMG_1.MOV": "a/IMG_1.HEIC"}),
    "a Live Photo as JPEG": (["IMG_1.JPG", "IMG_1.MOV"], {"IMG_1.MOV": "IMG_1.JPG"}),
    "a Live Photo from Takeout": (["IMG_1.HEIC", "IMG_1.MP4"], {"IMG_1.MP4": "IMG_1.HEIC"}),
    "a Live Photo from icloudpd": (["IMG_1.HEIC", "IMG_1_HEVC.MOV"], {"IMG_1_HEVC.MOV": "IMG_1.HEIC"}),
    "a Live Photo that was converted, too": (["I.HEIC", "I.JPG", "I.MOV"], {"I.MOV": "I.HEIC"}),
    "an edited Live Photo": (
        ["IMG_1.HEIC", "IMG_1.MOV", "IMG_1.AAE", "IMG_E1.JPG", "IMG_E1.MOV"],
        {"IMG_1.MOV": "IMG_1.HEIC", "IMG_E1.MOV": "IMG_E1.JPG"},
    ),
    "ProRAW with its film": (["IMG_1.DNG", "IMG_1.MOV"], {"IMG_1.MOV": "IMG_1.DNG"}),
    "RAW and JPEG": (["DSC_1.NEF", "DSC_1.JPG"], {"DSC_1.NEF": "DSC_1.JPG"}),
    "RAW and HEIF": (["DSC_1.ARW", "DSC_1.HIF"], {"DSC_1.ARW": "DSC_1.HIF"}),
    "RAW, JPEG and film": (["a.DNG", "a.JPG", "a.MOV"], {"a.DNG": "a.JPG", "a.MOV": "a.JPG"}),
    "letters of any case": (["img_1.cr2", "IMG_1.Jpeg"], {"img_1.cr2": "IMG_1.Jpeg"}),
    "a Pixel's photo and film": (["P.MP.jpg", "P.MP"], {"P.MP": "P.MP.jpg"}),
    "a second one of that name": (
        ["P.MP.jpg", "P.MP~2.jpg", "P.MP", "P.MP~2"],
        {"P.MP": "P.MP.jpg", "P.MP~2": "P.MP~2.jpg"},
    ),
    "a numbered film beside one photo": (["P.MP.jpg", "P.MP~2"], {"P.MP~2": "P.MP.jpg"}),
    "a Pixel's film renamed": (["P.MP.jpg", "P.mp4"], {"P.mp4": "P.MP.jpg"}),
    "a film with the photo's short name": (["P.jpg", "P.MP"], {"P.MP": "P.jpg"}),
    "two photos, none RAW": (["a.jpg", "a.png"], {}),
    "HEIC and JPEG": (["a.heic", "a.jpg"], {}),
    "two RAW files": (["a.dng", "a.cr2"], {}),
    "RAW and PNG": (["a.dng", "a.png"], {}),
    "a film beside a PNG": (["a.mov", "a.png"], {}),
    "films alone": (["a.mov", "a.mp4", "b.MP"], {}),
    "another folder": (["a/IMG_1.HEIC", "b/IMG_1.MOV"], {}),
    "a folder of another case": (["a/IMG_1.HEIC", "A/IMG_1.MOV"], {}),
    "a stem that only begins alike": (["IMG_1.HEIC", "IMG_12.MOV", "IMG_1 (2).MOV"], {}),
    "a folder with a dot": (["2020.jpg/a", "2020.mov"], {}),
    "files of other kinds": (["IMG_1.AAE", "IMG_1.xmp", "IMG_1.JPG", "notes"], {}),
    "nothing": ([], {}),
}


@pytest.mark.parametrize(("names", "pairs"), TABLE.values(), ids=TABLE.keys())
@pytest.mark.parametrize("turn", [1, -1])
def test_which_files_are_one_picture(names: list[str], pairs: dict[str, str], turn: int) -> None:
    found = companions([name.encode() for name in names[::turn]])
    assert {name.decode(): primary.decode() for name, primary in found.items()} == pairs


def test_names_that_are_not_utf8() -> None:
    assert companions([b"\xff/caf\xe9.HEIC", b"\xff/caf\xe9.mov"]) == {b"\xff/caf\xe9.mov": b"\xff/caf\xe9.HEIC"}


def test_every_primary_stands_for_itself() -> None:
    stems = ["a", "b.MP", "b.MP~2", "a_hevc"]
    kinds = ["heic", "JPG", "dng", "cr2", "mov", "MP", "mp4"]
    names = [f"{stem}.{kind}".encode() for stem in stems for kind in kinds]
    found = companions(names)
    assert found and not found.keys() & set(found.values())
