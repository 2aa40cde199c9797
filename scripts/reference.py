"""Write commands.md and experiment.md from the code itself: reference.py [FOLDER], docs/ when not given."""

import sys
from pathlib import Path

from cutaway.cli.reference import pages

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs"
for name, text in pages().items():
    (folder / name).write_text(text, encoding="utf-8")
