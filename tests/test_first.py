from pathlib import Path

import glimpse


def test_words_find_colours(library: glimpse.Library, photos: Path) -> None:
    report = library.index([photos])
    assert report.added == 4
    assert library.search("red")[0].path == photos / "red.png"
