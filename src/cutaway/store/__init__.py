"""Everything that outlives a process: the ledger and the runs' folders."""

from cutaway.store.ledger import EpochRow, Ledger, PretrainRow, RunRow
from cutaway.store.run import Run
from cutaway.store.session import record, resume, train
from cutaway.store.store import Store, default_folder

__all__ = [
    "EpochRow",
    "Ledger",
    "PretrainRow",
    "Run",
    "RunRow",
    "Store",
    "default_folder",
    "record",
    "resume",
    "train",
]
