"""`python -m glimpse`."""

import sys
from pathlib import Path

# The folder one stands in comes first on this path, where a search/ or a data/ of one's own would shadow ours.
if not sys.flags.safe_path and Path(sys.path[0]).resolve() != Path(__file__).resolve().parent.parent:
    del sys.path[0]

from glimpse.cli import main

if __name__ == "__main__":
    main()
