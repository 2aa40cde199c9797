"""``cutaway look activity``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from cutaway.cli.console import RunName
from cutaway.cli.look.exemplars import Scheduler, Source
from cutaway.cli.look.view import Layers, Units, View, ViewOptions, file_name, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from cutaway.look import Activity, LayerActivity
    from cutaway.nets.subject import Subject


def activity(
    run: RunName,
    /,
    *,
    layer: Layers = None,
    unit: Units = None,
    split: Source = "train",
    sample: Annotated[int, Parameter(negative="")] = 500,
    epochs: Annotated[bool, Parameter(negative="")] = False,
    scheduler: Scheduler = None,
    options: ViewOptions = ViewOptions(),
) -> None:
    """How much, how often and for which classes every unit answers; which are dead, rare or doubled.

    With --unit, the text and --json have those units alone, the text with a line for each.

    Parameters
    ----------
    sample
        images, drawn at random, whose places are compared to find units that double each other
    epochs
        tell when units died, from the random weights and those that were kept (train.keep_every): a pass
        over the images for each
    """
    from cutaway.look import activity as find_activity
    from cutaway.look.choice import chosen_units

    view = options.open(run)
    result = find_activity(
        view.subject,
        view.split(split),
        layer,
        sample=sample,
        history=view.run.measured(),
        epochs=_kept(view) if epochs else None,
        scheduler=scheduler,
    )
    numbers = {name: range(found.units) for name, found in result.layers.items()}
    units = {name: list(all_units) for name, all_units in numbers.items()}
    if unit is not None:
        units = chosen_units(numbers, unit)
    view.answer(
        result,
        file_name("activity", layer, [] if split == "train" else [split], ["epochs"] if epochs else None),
        _arrays(result),
        {
            "split": split,
            "images": result.images,
            "sampled": result.sampled,
            "classes": list(result.classes),
            "layers": {name: _facts(result, name, own) for name, own in units.items()},
        },
        [line for name, own in units.items() for line in _told(result, name, own if unit else [])],
    )


def _kept(view: View) -> dict[int, Subject]:
    """The net after every epoch whose weights are there, and before the first."""
    return {0: view.run.subject("random")} | {
        epoch: view.run.subject(str(epoch)) for epoch in view.run.kept() if epoch
    }


def _arrays(result: Activity) -> dict[str, Tensor]:
    import torch

    found: dict[str, Tensor] = {}
    for name, layer in result.layers.items():
        found |= {f"{name}.{measure}": values for measure, values in _measures(layer).items()}
        found[f"{name}.class_means"] = layer.class_means
        if layer.correlation is not None:
            found[f"{name}.correlation"] = layer.correlation
    if result.deaths is not None:
        found["epochs"] = torch.tensor(list(result.deaths.epochs))
        found |= {f"{name}.dead_by_epoch": dead for name, dead in result.deaths.dead.items()}
    return found


def _measures(layer: LayerActivity) -> dict[str, Tensor]:
    """A value for each unit, by name."""
    return {
        "mean": layer.mean,
        "maximum": layer.maximum,
        "minimum": layer.minimum,
        "fires": layer.fires,
        "blank": layer.blank,
        "dead": layer.dead,
        "rare": layer.rare,
        "constant": layer.constant,
        "selectivity": layer.selectivity,
    }


def _facts(result: Activity, name: str, units: Sequence[int]) -> dict[str, Any]:
    layer = result.layers[name]
    chosen = set(units)
    pairs = layer.duplicates()
    facts: dict[str, Any] = {"units": list(units), "rectified": layer.rectified, "blank_maps": layer.blanks}
    facts |= {measure: _plain(values[list(units)]) for measure, values in _measures(layer).items()}
    facts["class_means"] = [_plain(means) for means in layer.class_means[:, list(units)]]
    facts["duplicates"] = [[one, other, r] for one, other, r in pairs if one in chosen or other in chosen]
    if name in result.counted:
        facts["dead_counted"] = {str(epoch): dead for epoch, dead in result.counted[name].items()}
    if result.deaths is not None and name in result.deaths.dead:
        facts["died"] = result.deaths.died(name)[list(units)].tolist()
    return facts


def _plain(values: Tensor) -> list[Any]:
    """NaN is no JSON: what there is not is null."""
    return [None if math.isnan(value) else value for value in values.tolist()]


def _told(result: Activity, name: str, units: Sequence[int]) -> list[str]:
    """A layer in a line, what is amiss with it, and a line for each unit that was asked for."""
    layer = result.layers[name]
    lines = [f"{name}: {layer.units} units, {layer.blanks:.1%} of maps blank"]
    for word, found in (("dead", layer.dead), ("rare", layer.rare), ("constant", layer.constant)):
        numbers = found.nonzero().flatten().tolist()
        if numbers:
            lines.append(f"  {len(numbers)} {word}: {listed(numbers)}")
    pairs = layer.duplicates()
    if pairs:
        shown = ", ".join(f"{one}={other} ({r:.3f})" for one, other, r in pairs[:4])
        lines.append(f"  {len(pairs)} pairs alike: {shown}" + (" …" if len(pairs) > 4 else ""))
    if result.deaths is not None and name in result.deaths.dead:
        died = result.deaths.died(name)
        lines += [
            f"  dead since epoch {epoch}: {listed((died == epoch).nonzero().flatten().tolist())}"
            for epoch in sorted(set(died.tolist()) - {-1})
        ]
    for unit in units:
        index = float(layer.selectivity[unit])
        prefers = ""
        if not math.isnan(index):
            means = layer.class_means[:, unit].nan_to_num(nan=-math.inf)
            prefers = f", prefers {result.classes[int(means.argmax())]} (selectivity {index:.2f})"
        lines.append(
            f"  unit {unit}: mean {layer.mean[unit]:.4g}, most {layer.maximum[unit]:.4g}, "
            f"fires for {layer.fires[unit]:.1%}{prefers}"
        )
    return lines
