"""``cutaway look METHOD RUN``: a file a look."""

from cutaway.cli.look.app import app

__all__ = ["app"]
