"""Make the page behind docs/demo.md: what the built-in model finds in data/demo, good and bad.

python benchmarks/demo_sheet.py demo.html
chromium --headless --no-sandbox --hide-scrollbars --screenshot=demo.png --window-size=1000,2960 demo.html
python -c "from PIL import Image; Image.open('demo.png').convert('RGB').save('docs/demo.webp', quality=70)"
"""

import sys
import tempfile
from pathlib import Path

import glimpse
from core.resources import data_path
from glimpse.sheet import show_sheet

QUERIES = (
    "kitten",
    "a cup of coffee",
    "an old temple by the water",
    "a camera on a tripod",
    "a rocket on the launch pad",
    "flower",
    "astronaut",
    "stars",
)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, glimpse.open(folder, "builtin") as library:
        library.index([data_path("demo")])
        results = [(query, library.search(query, 4)) for query in QUERIES]
        results.append(("photos like cat.png", library.similar(data_path("demo", "cat.png"), 4)))
        show_sheet(results, library.preview, Path(sys.argv[1]), open_=False)


if __name__ == "__main__":
    main()
