"""``python -m cutaway`` is the command line, and so is the console script."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from cutaway.cli.app import main


def run() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    code = main()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        # DistributedDataParallel keeps its connection's threads until the process ends. One that wants
        # the interpreter while that shuts down ends a finished training by abort; so it isn't shut down.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    run()
