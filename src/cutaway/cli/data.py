"""``cutaway data list | show``; ``fetch`` and ``cache`` have files of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from cutaway.cli.console import Fields, Json, Output, note, say, say_json, say_table
from cutaway.cli.picture import picture_kind, write_figure
from cutaway.errors import ConfigError

if TYPE_CHECKING:
    from cutaway.config import DataConfig
    from cutaway.data import Images, Split
    from cutaway.data.duplicates import Duplicate
    from cutaway.data.examples import Examples
    from cutaway.draw.sheet import Pyramid

app = App(name="data", help="List sources of images, show what is in one.")
app.command("cutaway.cli.fetch:fetch", name="fetch", help="Download a dataset, checked, from mirrors.")
app.command("cutaway.cli.cache:cache", name="cache", help="What decoded images take on the disk; --clear.")

Text = Annotated[str | None, Parameter(negative="")]
Number = Annotated[int | None, Parameter(negative="")]

_MOST_ROWS = 40
"""Classes of a table; of more, the largest and the smallest ten are shown."""
_ENDS = 10

_MOST_LINES = 5
"""Files that a warning names."""

_ARRAYS = ".npz"
"""A sheet that is written so can be drawn again without the images."""

_IMBALANCED = 1.5
"""From this ratio on, of the largest class to the smallest, accuracy says more of the large ones."""


@app.command(name="list")
def list_sources(*, json: Json = False) -> None:
    """Where images can come from."""
    from cutaway.data import SOURCES

    if json:
        say_json({"sources": [{"name": name, "summary": SOURCES[name].summary} for name in SOURCES]})
    else:
        say_table(["source", "what it reads"], [[name, SOURCES[name].summary] for name in SOURCES])


@app.command(
    help_epilogue="Any other field of [data] can be set too: --data.test 0.3 --data.split_seed 4. "
    "docs/experiment.md lists them."
)
def show(
    source: str,
    /,
    *,
    path: Annotated[Path | None, Parameter(negative="")] = None,
    size: Text = None,
    fit: Text = None,
    channels: Number = None,
    per_class: Number = None,
    characters: Text = None,
    validation: Annotated[float | None, Parameter(negative="")] = None,
    skip_bad: Annotated[bool, Parameter(negative="")] = False,
    output: Output = None,
    examples: Number = None,
    split: Annotated[list[str] | None, Parameter(negative="")] = None,
    pyramid: Number = None,
    duplicates: bool = True,
    json: Json = False,
    **fields: Fields,
) -> None:
    """What is in a source: sizes, classes, pixel statistics, images in two splits, and a sheet of examples.

    Parameters
    ----------
    source
        a name that cutaway data list gives, or an experiment: a TOML file or a built-in one's name
    path
        the folder or file that it reads, where it reads one
    size
        height x width, such as 64x64, that every image is brought to
    fit
        how: crop, pad or stretch
    channels
        1 for grey, 3 for colour
    per_class
        images of each class, for sources that make them
    characters
        what the source drawn draws
    validation
        images to hold back from the training split: a count, or a share below 1; none when not given
    skip_bad
        leave files out that can't be read, and tell which
    output
        where to write the sheet of examples: .png, .svg, .pdf; or .npz, to be drawn again by cutaway.plot.
        Where the images are varied in training, it shows that too
    examples
        of each class on the sheet; 10 when not given
    split
        which is on the sheet; all when not given
    pyramid
        a training image, counted from 0, at ever smaller sizes: drawn beside the sheet, as NAME-pyramid
    duplicates
        look for images that stand in two splits
    """
    from cutaway.data import Augment, load_images
    from cutaway.data.duplicates import find_duplicates
    from cutaway.data.examples import EXAMPLES, choose_examples

    asked = {"pyramid": pyramid, "examples": examples, "split": split}
    if alone := next((name for name, value in asked.items() if value is not None and not output), ""):
        raise ConfigError(f"--{alone} is of a picture: say where to write it, such as -o sheet.png.")
    if examples is not None and examples < 1:
        raise ConfigError(f"--examples should be 1 or more, not {examples}.")
    if output and output.suffix != _ARRAYS:
        picture_kind(output)  # a wrong one is told before the data is read
    given: dict[str, Any] = {"path": _quoted(path), "characters": _quoted(characters)}
    given |= {"size": size, "fit": fit, "channels": channels, "per_class": per_class}
    given |= {"validation": validation, "skip_bad": skip_bad or None}
    config = _config(source, {k: v for k, v in given.items() if v is not None}, fields)
    images = load_images(config)
    for name in split or ():
        images.split(name)
    facts = {"source": source, **_facts(images)}
    if pyramid is not None and not 0 <= pyramid < len(images.splits["train"]):
        count = len(images.splits["train"])
        raise ConfigError(f"--pyramid should be a training image from 0 to {count - 1}, not {pyramid}.")
    found = find_duplicates(images) if duplicates else None
    facts["duplicates"] = None if found is None else _duplicate_facts(images, found)
    facts |= {"sheet": None, "pyramid": None}
    if output:
        augment = Augment.fit(config.augment, images.splits["train"])
        sheet = choose_examples(images, examples or EXAMPLES, split or (), augment)
        facts |= _draw(images, sheet, output, pyramid)
    if json:
        say_json(facts)
        return
    _tell(images, facts)
    _warn(images, found or [])


def _config(source: str, given: Mapping[str, Any], fields: Mapping[str, Any]) -> DataConfig:
    """The ``[data]`` section that is meant: a source's, or an experiment's with some fields replaced."""
    from cutaway.config import Experiment, catalogue, load_experiment
    from cutaway.data import SOURCES

    other = next((name for name in fields if name != "data"), None)
    data = fields.get("data", {})
    if other is not None or not isinstance(data, Mapping):
        raise ConfigError(f"--{other or 'data'} is no field of [data], such as --data.test 0.3.")
    overrides = {**data, **given}
    if source not in SOURCES and (source.endswith(".toml") or source in catalogue()):
        return load_experiment(source, {"data": overrides}).data
    # What is in a source is shown whole; only what is asked for is held back.
    return load_experiment(
        Experiment(), {"data": {"source": _quoted(source), "validation": 0, **overrides}}
    ).data


def _quoted(text: str | Path | None) -> str | None:
    """A text that stays one: fields are read as TOML, where ``123`` would be a number."""
    import tomlkit

    return None if text is None else tomlkit.item(str(text)).as_string()


def _facts(images: Images) -> dict[str, Any]:
    from cutaway.data import pixel_statistics

    splits: dict[str, dict[str, Any]] = {}
    for name, split in images.splits.items():
        mean, deviation = pixel_statistics(split)
        splits[name] = {
            "images": len(split),
            "counts": split.labels.bincount(minlength=len(images.classes)).tolist(),
            "mean": list(mean),
            "deviation": list(deviation),
        }
    return {
        "shape": list(images.shape),
        "classes": list(images.classes),
        "splits": splits,
        "imbalance": _imbalance(images.classes, splits["train"]["counts"]),
        "skipped": [{"file": file, "reason": reason} for file, reason in images.skipped],
    }


def _imbalance(classes: Sequence[str], counts: Sequence[int]) -> dict[str, Any] | None:
    """The largest and the smallest class of the training split, where they are far apart."""
    largest, smallest = (pick(range(len(counts)), key=counts.__getitem__) for pick in (max, min))
    if counts[largest] < _IMBALANCED * counts[smallest]:
        return None
    named = {"largest": largest, "smallest": smallest}
    return {key: {"class": classes[at], "images": counts[at]} for key, at in named.items()}


def _duplicate_facts(images: Images, found: Sequence[Duplicate]) -> dict[str, list[dict[str, Any]]]:
    def facts(duplicate: Duplicate) -> dict[str, Any]:
        return {
            "splits": list(duplicate.splits),
            "positions": list(duplicate.positions),
            "names": [s.name(at) for s, at in _places(images, duplicate)],
            "classes": [images.classes[label] for label in duplicate.labels],
            "distance": duplicate.distance,
        }

    return {
        "exact": [facts(one) for one in found if one.exact],
        "near": [facts(one) for one in found if not one.exact],
    }


def _places(images: Images, duplicate: Duplicate) -> list[tuple[Split, int]]:
    splits = [images.splits[name] for name in duplicate.splits]
    return list(zip(splits, duplicate.positions, strict=True))


def _tell(images: Images, facts: Mapping[str, Any]) -> None:
    splits: Mapping[str, Any] = facts["splits"]
    say(f"{facts['source']}: {len(images.classes)} classes of {'×'.join(map(str, images.shape))}")
    rows = [
        [name, *(f"{split['counts'][i]:,}" for split in splits.values())]
        for i, name in enumerate(images.classes)
    ]
    hidden = len(rows) - 2 * _ENDS if len(rows) > _MOST_ROWS else 0
    if hidden:
        counts = splits["train"]["counts"]
        order = sorted(range(len(rows)), key=lambda i: -counts[i])
        gap = ["…"] * (1 + len(splits))
        rows = [rows[i] for i in order[:_ENDS]] + [gap] + [rows[i] for i in order[-_ENDS:]]
    total = ["all", *(f"{split['images']:,}" for split in splits.values())]
    say_table(["class", *(f"{name}>" for name in splits)], [*rows, total], total=True)
    if hidden:
        say(f"shown are the {_ENDS} largest and the {_ENDS} smallest classes; {hidden:,} are not")
    if facts["imbalance"]:
        large, small = facts["imbalance"]["largest"], facts["imbalance"]["smallest"]
        say(
            f"imbalanced: {large['class']} has {large['images']:,} training images, "
            f"{small['class']} has {small['images']:,}"
        )
    for name, split in splits.items():
        mean, deviation = (", ".join(f"{v:.2f}" for v in split[k]) for k in ("mean", "deviation"))
        say(f"{name}: mean {mean}, standard deviation {deviation} (of 0 to 255)")
    for key in ("sheet", "pyramid"):
        if facts[key]:
            say(facts[key])


def _warn(images: Images, found: Sequence[Duplicate]) -> None:
    """Files that were left out and images that stand in two splits, on stderr."""
    if images.skipped:
        files = "1 file was" if len(images.skipped) == 1 else f"{len(images.skipped):,} files were"
        _note_some(f"{files} left out:", [f"{file}: {reason}" for file, reason in images.skipped])
    groups: dict[tuple[tuple[str, str], bool], list[str]] = {}
    for one in found:
        groups.setdefault((one.splits, one.exact), []).append(_line(images, one))
    for ((first, second), exact), lines in groups.items():
        many = f"1 {second} image is" if len(lines) == 1 else f"{len(lines):,} {second} images are"
        _note_some(f"{many} {'also' if exact else 'nearly the same'} in {first}:", lines)
    if found:
        note("What stands in two splits makes the scores look better than they are: take one of the two out.")


def _line(images: Images, duplicate: Duplicate) -> str:
    first, second = (
        f"{name} {split.name(at)}"
        for name, (split, at) in zip(duplicate.splits, _places(images, duplicate), strict=True)
    )
    there, here = (images.classes[label] for label in duplicate.labels)
    classes = here if here == there else f"{here}, but {there} there"
    if duplicate.exact:
        return f"{second} = {first} ({classes})"
    return f"{second} ≈ {first} ({classes}), distance {duplicate.distance:.3f}"


def _note_some(heading: str, lines: Sequence[str]) -> None:
    note(heading)
    for line in lines[:_MOST_LINES]:
        note(f"  {line}")
    if len(lines) > _MOST_LINES:
        note(f"  … and {len(lines) - _MOST_LINES:,} more")


def _draw(images: Images, sheet: Examples, output: Path, number: int | None) -> dict[str, str | None]:
    """Write the sheet, and beside it the pyramid; where they are."""
    from cutaway.data import gaussian_pyramid
    from cutaway.draw.sheet import Pyramid

    _write(sheet, output)
    written: dict[str, str | None] = {"sheet": str(output), "pyramid": None}
    if number is not None:
        import torch

        train = images.splits["train"]
        pixels = train.batch(torch.tensor([number]))[0]
        title = f"training image {number}: {images.classes[int(train.labels[number])]}"
        beside = output.with_stem(f"{output.stem}-pyramid")
        _write(Pyramid(gaussian_pyramid(pixels), title), beside)
        written["pyramid"] = str(beside)
    return written


def _write(result: Examples | Pyramid, output: Path) -> None:
    """A picture, or what it is made of."""
    if output.suffix == _ARRAYS:
        from cutaway.look import save

        save(result, output)
        return
    from cutaway.draw import plot

    write_figure(plot(result), output, dpi=None)
