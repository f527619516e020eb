import tempfile
from pathlib import Path

from tests.old_libraries import main

main(Path(tempfile.mkdtemp()))
