"""Make the tables and pictures of the experiments' pages anew from their committed results.

    python studies/build.py [FOLDER …] [--check]

Each folder has one module with ``page(results)``, and a ``README.md`` with places ``<!-- NAME -->`` …
``<!-- end -->`` that tables are put into. With ``--check`` nothing is written, and the exit code is 4 where
a page says something else than its results.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

from page import Page, Results, claims_table

from cutaway.draw.sheet import DPI as SHEET_DPI

ROOT = Path(__file__).parent

_PLACE = re.compile(r"(<!-- (?!end -->)([\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def folders() -> list[Path]:
    """Every experiment whose studies were exported; the pages of others say that nothing is measured yet."""
    return sorted({path.parent.parent for path in ROOT.glob("*/results/*-dynamics.json")})


def module(folder: Path) -> Any:
    """The module of an experiment, whose folder's name is no package's."""
    (file,) = folder.glob("*.py")
    spec = importlib.util.spec_from_file_location(f"studies_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ImportError(file)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def make(folder: Path) -> Page:
    """The tables and pictures of an experiment, from its results."""
    page: Page = module(folder).page(Results(folder))
    return page


def filled(text: str, page: Page) -> str:
    """A page's text with all its tables.

    Raises:
        KeyError: a place has no table, or a table no place.
    """
    tables = dict.fromkeys(page.waiting, "not measured yet") | dict(page.tables)
    if page.claims:
        tables["claims"] = claims_table(page.claims)
    named = set()

    def put(match: re.Match[str]) -> str:
        named.add(match[2])
        return f"{match[1]}{tables[match[2]]}\n{match[4]}"

    result = _PLACE.sub(put, text)
    if missing := tables.keys() - named:
        raise KeyError(f"no place <!-- {missing.pop()} -->")
    return result


def main() -> int:
    """Write, or check, the pages that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", nargs="*", type=Path, help="all when not given")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 4 for a stale page")
    given = parser.parse_args()
    stale = []
    for folder in given.folder or folders():
        page = make(folder)
        readme = folder / "README.md"
        text = readme.read_text(encoding="utf-8")
        new = filled(text, page)
        if given.check:
            stale += [readme] if new != text else []
            continue
        readme.write_text(new, encoding="utf-8")
        (folder / "pictures").mkdir(exist_ok=True)
        for name, figure in page.pictures.items():
            # Sheets of images are made for dots of their own: at others their pixels would be resampled.
            dpi = figure.dpi if figure.dpi == SHEET_DPI else 110
            figure.savefig(folder / "pictures" / f"{name}.png", dpi=dpi, metadata={"Software": None})
    for readme in stale:
        sys.stderr.write(f"{readme} says something else than its results. Run: python studies/build.py\n")
    return 4 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
