"""From image files to bytes: folders and archives, decoding on all cores, the cache. Without torch."""

from cutaway.pictures.cache import Cached, cache_entries, cache_folder, clear_cache, decoded
from cutaway.pictures.decode import MOST_PIXELS, BadPictureError, Form, decode, picture_size
from cutaway.pictures.place import Place, open_place

__all__ = [
    "MOST_PIXELS",
    "BadPictureError",
    "Cached",
    "Form",
    "Place",
    "cache_entries",
    "cache_folder",
    "clear_cache",
    "decode",
    "decoded",
    "open_place",
    "picture_size",
]
