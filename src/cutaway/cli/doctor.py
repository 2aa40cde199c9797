"""``cutaway doctor``."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from typing import Any

from cutaway.cli.console import Json, StoreOption, say_json, say_table
from cutaway.errors import CutawayError


def doctor(*, store: StoreOption = StoreOption(), json: Json = False) -> int:
    """Versions, device, threads, health of the data and of the store."""
    import torch

    from cutaway import __version__
    from cutaway.machine import available_cores
    from cutaway.training.device import choose_device

    facts: dict[str, Any] = {
        "cutaway": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "executable": sys.executable,
        "device": str(choose_device("auto")),
        "threads": available_cores(),
        "memory kept": platform.libc_ver()[0] == "glibc",
    }
    opened = store.open()
    checks: dict[str, Callable[[], str]] = {
        "embedded mnist": _check_mnist,
        "ledger": lambda: _check_ledger(opened),
        "runs": lambda: _check_runs(opened),
    }
    healthy = True
    for name, check in checks.items():
        try:
            facts[name] = check()
        except CutawayError as error:
            healthy = False
            facts[name] = f"NOT OK: {error}"
    facts["store"] = str(opened.folder.absolute())
    if json:
        say_json(facts | {"healthy": healthy})
    else:
        say_table(["what", "is"], [[name, str(value)] for name, value in facts.items()])
    return 0 if healthy else 4


def _check_mnist() -> str:
    from cutaway.data.sources.mnist import FOLDER, check_sums

    check_sums(FOLDER)
    return "ok"


def _check_ledger(store: Any) -> str:
    if not store.ledger.path.exists():
        return "none yet"
    found = str(store.ledger.check())
    if found != "ok":
        raise CutawayError(found)
    return "ok"


def _check_runs(store: Any) -> str:
    runs = store.runs()
    for run in runs:
        for name in ("best", "last"):
            if (run.folder / f"{name}.safetensors").exists():
                run.load(name)
        if not run.folder.is_dir():
            raise CutawayError(f"the folder of run {run.id} is gone: cutaway runs remove {run.id}")
    return f"{len(runs)}, all checkpoints readable"
