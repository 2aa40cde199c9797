"""Files and locks that a crash, a full disk or a second process do no harm to."""

from cutaway.disk.files import make_folder, remove_leftovers, store_error, write_file
from cutaway.disk.lock import is_locked, locked

__all__ = ["is_locked", "locked", "make_folder", "remove_leftovers", "store_error", "write_file"]
