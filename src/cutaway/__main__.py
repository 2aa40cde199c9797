"""``python -m cutaway`` is the command line."""

import sys

from cutaway.cli.app import main

sys.exit(main())
