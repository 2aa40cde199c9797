"""``cutaway look gradcam`` and ``guided-gradcam``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from cutaway.cli.console import RunName
from cutaway.cli.look.attribution import Show, say_attribution
from cutaway.cli.look.target import CLASSES, ClassOptions, OtherwiseName, PlaceName, TargetUnits
from cutaway.cli.look.view import ViewOptions, file_name

MapLayers = Annotated[
    list[str] | None,
    Parameter(
        name="--layer", negative="", help="a layer with maps; give it again for more; all when not given"
    ),
]
MapLayer = Annotated[
    str | None,
    Parameter(
        name="--layer",
        negative="",
        help="a layer with maps; the last one of more than a place when not given",
    ),
]
Of = Annotated[
    str | None, Parameter(negative="", help="a layer, whose --unit is asked about in place of a class")
]


def gradcam(
    run: RunName,
    /,
    *,
    layer: MapLayers = None,
    of: Of = None,
    unit: TargetUnits = (),
    place: PlaceName = "max",
    target: ClassOptions = CLASSES,
    options: ViewOptions = ViewOptions(),
) -> None:
    """Where in each layer's maps the evidence for a class lies."""
    from cutaway.look import gradcam as find

    view = options.open(run)
    asked = target.asked(view, of, unit, place, "--of")
    found = find(view.subject, asked.images, asked.targets, layer)
    layers = {
        name: {"shape": list(maps.shape[2:]), "largest": maps.flatten(2).amax(2).tolist()}
        for name, maps in found.layers.items()
    }
    lines = [
        f"image {image}, {_named(told, asked.predicted[at])}: {float(found.values[row, at]):.4g}"
        for row, told in enumerate(found.targets)
        for at, image in enumerate(asked.names)
    ]
    empty = [name for name, maps in found.layers.items() if not maps.any()]
    if empty:
        lines.append(f"nothing speaks for it in {', '.join(empty)}")
    view.answer(
        found,
        file_name("gradcam", asked.parts, layer),
        {
            "image": found.images,
            "values": found.values,
            **{f"layer.{name}": maps for name, maps in found.layers.items()},
        },
        {
            **asked.facts,
            "method": "Grad-CAM",
            "targets": [
                {"target": told, "value": values.tolist()}
                for told, values in zip(found.targets, found.values, strict=True)
            ],
            "layers": layers,
        },
        lines,
        scale=target.scale,
        predicted=asked.predicted,
    )


def guided_gradcam(
    run: RunName,
    /,
    *,
    layer: MapLayer = None,
    of: Of = None,
    unit: TargetUnits = (),
    place: PlaceName = "max",
    otherwise: OtherwiseName = "refuse",
    show: Show = "auto",
    target: ClassOptions = CLASSES,
    options: ViewOptions = ViewOptions(),
) -> None:
    """Guided backpropagation times Grad-CAM: fine lines, where the evidence lies."""
    from cutaway.look import guided_gradcam as find
    from cutaway.look.backward.methods import last_maps

    view = options.open(run)
    asked = target.asked(view, of, unit, place, "--of")
    name = layer or last_maps(view.subject)
    found = find(view.subject, asked.images, asked.targets, name, otherwise=otherwise)
    settings = {"layer": name, "otherwise": otherwise}
    say_attribution(view, asked, found, "guided-gradcam", settings, scale=target.scale, show=show)


def _named(target: str, predicted: str) -> str:
    return f"predicted {predicted}" if target == "predicted" else target
