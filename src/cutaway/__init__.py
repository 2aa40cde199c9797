"""Train convolutional image classifiers and see what every layer sees, learns and is worth.

Everything public is named here and loaded when it is first used, so that ``import cutaway`` costs
nothing:

    run = cutaway.train("digits")
    maps = cutaway.look.feature_maps(run.subject(), images)
    cutaway.plot(maps).savefig("maps.png")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from cutaway import look
    from cutaway.config import Experiment, Study, load_experiment
    from cutaway.data import Images, load_images
    from cutaway.draw import plot, report_run
    from cutaway.errors import CutawayError
    from cutaway.nets import find_net, parse_net, plan
    from cutaway.nets.subject import Subject
    from cutaway.store import Run, Store, resume, train
    from cutaway.study.session import run_study

_HOMES = {
    "CutawayError": "cutaway.errors",
    "Experiment": "cutaway.config",
    "Images": "cutaway.data",
    "Run": "cutaway.store",
    "Store": "cutaway.store",
    "Study": "cutaway.config",
    "Subject": "cutaway.nets.subject",
    "find_net": "cutaway.nets",
    "load_experiment": "cutaway.config",
    "load_images": "cutaway.data",
    "look": "cutaway.look",
    "parse_net": "cutaway.nets",
    "plan": "cutaway.nets",
    "plot": "cutaway.draw",
    "report_run": "cutaway.draw",
    "resume": "cutaway.store",
    "run_study": "cutaway.study.session",
    "train": "cutaway.store",
}

__all__ = [
    "CutawayError",
    "Experiment",
    "Images",
    "Run",
    "Store",
    "Study",
    "Subject",
    "__version__",
    "find_net",
    "load_experiment",
    "load_images",
    "look",
    "parse_net",
    "plan",
    "plot",
    "report_run",
    "resume",
    "run_study",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cutaway' has no attribute {name!r}")
    home = importlib.import_module(_HOMES[name])
    return home if name == "look" else getattr(home, name)


def __dir__() -> list[str]:
    return __all__
