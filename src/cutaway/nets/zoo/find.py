"""From what a person gives, a zoo name, a file, a text or a list, to a net."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cutaway.errors import ConfigError
from cutaway.nets.notation import MOST_CHARACTERS, NetSpec, parse_net
from cutaway.nets.plan import Plan, PlanError, plan
from cutaway.nets.words import WORDS, Shape
from cutaway.nets.zoo.entry import ZOO


def find_net(net: str | Path | Sequence[str] | NetSpec, classes: int | None = None) -> NetSpec:
    """The net that is named, described or kept in a file.

    Args:
        net: a name in the zoo; notation; a list of layers; a file with notation; or a net.
        classes: for how many; a net of the zoo takes any number, another net is left as it is.

    Raises:
        NotFoundError: one word that is neither in the zoo, nor a word of the notation, nor a file.
        NotationError: a mistake in the notation.
        ConfigError: the file can't be read as text.
    """
    if isinstance(net, NetSpec):
        return net
    if isinstance(net, Path):
        return parse_net(_read(net))
    text = net.strip() if isinstance(net, str) else "\n".join(net)
    if text in ZOO:
        found = parse_net(ZOO[text].text)
        return found if classes is None else found.with_outputs(classes)
    if _is_file(text):
        return parse_net(_read(Path(text)))
    if text and _may_be_name(text) and len(text.split()) == 1:
        return parse_net(ZOO[text].text)  # raises: it names the nearest
    return parse_net(text)


def written_out(net: str) -> str:
    """A net that stands in a file by its text, which does not change with the file; others as they are.

    Raises:
        as :func:`find_net`.
    """
    text = net.strip()
    return find_net(text).text() if text not in ZOO and _is_file(text) else net


def plan_net(
    net: str | Path | Sequence[str] | NetSpec, input_shape: Shape, classes: int | None = None
) -> Plan:
    """The plan of what :func:`find_net` finds.

    Raises:
        as :func:`find_net`, and
        PlanError: a layer can't work on what is before it; for a net of the zoo the message says
            how large images must be.
    """
    spec = find_net(net, classes)
    try:
        return plan(spec, input_shape)
    except PlanError as error:
        name = net.strip() if isinstance(net, str) else ""
        if name not in ZOO or len(input_shape) != 3:
            raise
        made = ZOO[name].input_shape
        least = _least_size(spec, input_shape[0], made[1])
        raise PlanError(
            f"{error}\n    {name} takes images from {least}×{least} on; it was made for {made[1]}×{made[2]}.",
            error.layer,
        ) from None


def _least_size(spec: NetSpec, channels: int, works: int) -> int:
    """The smallest square image that a net works on; it works on ``works``."""
    low, high = 0, works
    while low + 1 < high:
        middle = (low + high) // 2
        try:
            plan(spec, (channels, middle, middle))
        except PlanError:
            low = middle
        else:
            high = middle
    return high


def _may_be_name(text: str) -> bool:
    """Whether a text can be a name or a path, and is no notation."""
    return "\n" not in text and not set("|:") & set(text) and text not in WORDS


def _is_file(text: str) -> bool:
    try:
        return bool(text) and _may_be_name(text) and Path(text).is_file()
    except (OSError, ValueError):  # too long for a name, or with a zero byte
        return False


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig") as file:
            # A character more than a net may have: the parser then says so.
            return file.read(MOST_CHARACTERS + 1)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} can't be read as text: {error}.") from None
