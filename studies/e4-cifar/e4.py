"""The page of E4: a small convolutional net on CIFAR-10, from the results in this folder alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from matplotlib.figure import Figure
from page import Claim, Page, Results, judged, made_line, rows, runs_table, table

from cutaway import plot
from cutaway.draw.figures import FAINT, INK
from cutaway.draw.studies.epochs import COLOURS
from cutaway.draw.studies.wording import duration, signed
from cutaway.look.interval import NORMAL_95, wilson
from cutaway.nets import Plan
from cutaway.study import StudyTable, Trial, TrialStatus
from cutaway.training import Score

STUDY, GLOROT, OURS, SHORT = "e4", "Glorot's first weights", "our recipe", "our recipe, 12 epochs"

ACCURACY, LOSS = 0.7524, 0.71711
"""As published, on the test split after 40 epochs."""

IMAGES = 10_000
"""Test images of CIFAR-10."""

PENDING = "not measured yet"


def page(results: Results) -> Page:
    """All tables, pictures and claims."""
    has_sheet = "images.npz" in results.files
    pictures = {"images": plot(results.look("images"))} if has_sheet else {}
    alt = "three images of each class of the training, validation and test split"
    tables = {"images": picture("images", alt) if has_sheet else PENDING}
    made: dict[str, Callable[[Trainings], str]] = {
        "published": published_table,
        "pace": pace_table,
        "same-time": same_time_table,
    }
    if not results.has(STUDY):
        waiting = [*made, "layers", "curves", "accuracy", "cell", "claims", "runs", "made"]
        return Page(tables | dict.fromkeys(waiting, PENDING), pictures)
    study = results.study(STUDY)
    found = trainings(study)
    tables |= {name: make(found) for name, make in made.items()}
    tables["layers"] = layers_table(_plan(study))
    alt = "objective, top-1 and top-5 error by epoch, of each variant beside the base"
    tables["curves"] = f"{picture('curves', alt)}\n\n{gaps(found)}"
    tables["accuracy"] = picture("accuracy", "test accuracy by minutes of training")
    tables |= {"runs": runs_table(results, STUDY), "made": made_line(results, STUDY), "cell": PENDING}
    if "cell.npz" in results.files:
        tables["cell"] = picture("cell", "a value of a feature map: its patch, the filter, their products")
        pictures["cell"] = plot(results.look("cell"))
    pictures["curves"] = plot(study, which="curves")
    pictures["accuracy"] = accuracy_figure(found)
    return Page(tables, pictures, claims(found))


Trainings = Mapping[str, Trial]
"""The one training of each kind, by what it is called on the page."""


def trainings(study: StudyTable) -> Trainings:
    """The one trial of the base and of every variant."""
    found = {}
    for one in rows(study):
        (found[one.variant.name],) = one.trials
    return found


def picture(name: str, alt: str) -> str:
    """A picture of this page in Markdown."""
    return f"![{alt}](pictures/{name}.png)"


def published_table(found: Trainings) -> str:
    """Accuracy and loss on the test split, beside the published ones."""
    head = ["", "test accuracy>", "95 %, over test images", "test loss>", "epochs>", "time"]
    lines = [["published", _percent(ACCURACY), _ends(ACCURACY, IMAGES), f"{LOSS:.5f}", 40, ""]]
    for name, trial in found.items():
        score = _final(trial)
        if score is None:
            lines.append([name, "–", "", "–", len(trial.epochs), _ending(trial)])
            continue
        lines.append(
            [
                name,
                _percent(1 - score.top1_error),
                _ends(1 - score.top1_error, score.images),
                f"{score.objective:.5f}",
                len(trial.epochs),
                duration(trial.seconds),
            ]
        )
    missing = [name for name in (GLOROT, OURS, SHORT) if name not in found]
    lines += [[name, PENDING, "", "", "", ""] for name in missing]
    return table(head, lines)


def layers_table(plan: Plan) -> str:
    """The summary of the net: every layer's output and its parameters."""
    head = ["layer", "what", "output>", "parameters>", "multiply-adds>", "sees>"]
    lines = [
        [
            one.name,
            one.layer.word.text(),
            "×".join(map(str, one.output_shape)),
            f"{one.parameters:,}",
            f"{one.multiply_adds:,}",
            "×".join(str(side) for side in one.field.size),
        ]
        for one in plan.rows
    ]
    total = ["all", "", "", f"{plan.parameters:,}", f"{plan.multiply_adds:,}", ""]
    return table(head, [*lines, total])


def pace_table(found: Trainings) -> str:
    """When each first had the published accuracy, and that of the base's end, and how long that took."""
    aims = {"published": ACCURACY}
    base = _final(found["base"])
    if base is not None:
        aims["the base's end"] = 1 - base.top1_error
    head = [""]
    for what, share in aims.items():
        head += [f"{_percent(share)} ({what}): epoch>", "time>"]
    lines = []
    for name, trial in found.items():
        points = course(trial)
        cells: list[object] = []
        for share in aims.values():
            at = next((point for point in points if point[2] >= share), None)
            cells += ["never", f"best {_percent(_best(points))}"] if at is None else [at[0], duration(at[1])]
        lines.append([name, *cells])
    return table(head, lines)


def _best(points: Sequence[tuple[int, float, float]]) -> float:
    return max((share for *_, share in points), default=math.nan)


def same_time_table(found: Trainings) -> str:
    """The accuracy of each after the same time: parts of what the base took."""
    courses = {name: course(trial) for name, trial in found.items()}
    whole = courses["base"][-1][1] if courses["base"] else 0.0
    lines = []
    for share in (0.1, 0.25, 0.5, 1.0):
        reached = [_after(points, share * whole) for points in courses.values()]
        lines.append(
            [duration(share * whole), *(_percent(one) if one is not None else "–" for one in reached)]
        )
    return table(["after", *(f"{name}>" for name in courses)], lines)


def accuracy_figure(found: Trainings) -> Figure:
    """Test accuracy against time, and the published one."""
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.add_subplot()
    colours = {"base": FAINT, OURS: COLOURS[0], GLOROT: COLOURS[1], SHORT: COLOURS[2]}
    for name, trial in found.items():
        points = course(trial)
        minutes = [seconds / 60 for _, seconds, _ in points]
        axes.plot(minutes, [100 * share for *_, share in points], color=colours[name], label=name)
    axes.axhline(100 * ACCURACY, color=INK, linestyle=":", linewidth=1, label="published, 40 epochs")
    axes.set_xlabel("minutes of training and scoring, one thread", size=8, color=INK)
    axes.set_ylabel("test accuracy (%)", size=8, color=INK)
    axes.set_xlim(left=0)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=7, frameon=False, loc="lower right")
    return figure


def claims(found: Trainings) -> list[Claim]:
    """The published accuracy beside ours, from either first weights, and what our recipe makes of it."""
    made = [_reached(text, found[name]) for name, text in _CLAIMS.items() if name in found]
    base, recipe = _final(found["base"]), _final(found[OURS]) if OURS in found else None
    if base is not None and recipe is not None:
        made.append(_better(base, recipe))
    return made


_CLAIMS = {
    "base": f"40 epochs give a test accuracy of {100 * ACCURACY:.2f} % (first weights untold; PyTorch's)",
    GLOROT: "The same, from Glorot's first weights, which Keras gives",
}


def _reached(text: str, trial: Trial) -> Claim:
    """Whether a training by the published recipe came to the published accuracy."""
    score = _final(trial)
    if score is None:
        return Claim(text, judged(held=False, failed=False), _ending(trial))
    share = 1 - score.top1_error
    # Two trainings, each judged by its own images: ours are JPEG copies, and its net had other weights.
    half = NORMAL_95 * math.sqrt(share * (1 - share) / score.images + ACCURACY * (1 - ACCURACY) / IMAGES)
    gap = share - ACCURACY
    told = f"{_percent(share)} ({_ends(share, score.images)} over test images, one seed): {_gap(gap, half)}"
    # Only what falls below it fails: a better figure is no reason to doubt that this one was reached.
    return Claim(text, judged(held=gap >= -half, failed=gap < -half), told)


def _better(base: Score, recipe: Score) -> Claim:
    """Whether our recipe ends above the published one."""
    share, better = 1 - base.top1_error, 1 - recipe.top1_error
    spread = NORMAL_95 * math.sqrt((share * (1 - share) + better * (1 - better)) / base.images)
    told = f"{_percent(better)} ({_ends(better, recipe.images)}) against {_percent(share)}: "
    told += _gap(better - share, spread)
    text = "Ours, not published: our recipe is better with the same net and as many images"
    return Claim(text, judged(better - share > spread, better - share < -spread), told)


def gaps(found: Trainings) -> str:
    """What the curves show, in figures: where validation is best, how far training is ahead at the end."""
    told = []
    for name, trial in found.items():
        scored = [epoch for epoch in trial.epochs if "validation" in epoch.scores]
        if not scored:
            continue
        best = min(scored, key=lambda epoch: epoch.scores["validation"].objective)
        last = scored[-1]
        ahead = last.scores["validation"].top1_error - last.scores["train"].top1_error
        told.append(
            f"{name}: the validation loss is least at epoch {best.epoch} of {last.epoch}, "
            f"and at the end the validation error is {signed(100 * ahead, 1)} points to that of training"
        )
    return f"{'; '.join(told)}."


def course(trial: Trial) -> list[tuple[int, float, float]]:
    """Epoch, seconds from the start and test accuracy, wherever a training was scored.

    Seconds of an epoch are those of its training and of its scoring.
    """
    points, passed = [], 0.0
    for epoch in trial.epochs:
        passed += epoch.seconds
        score = epoch.scores.get("test")
        if score is not None and math.isfinite(score.top1_error):
            points.append((epoch.epoch, passed, 1 - score.top1_error))
    return points


def _after(points: Sequence[tuple[int, float, float]], seconds: float) -> float | None:
    """The newest accuracy at a time; None before the first."""
    there = [share for _, passed, share in points if passed <= seconds * (1 + 1e-9)]
    return there[-1] if there else None


def _final(trial: Trial) -> Score | None:
    """Test scores at the end of the budget."""
    return trial.scores.get("test") if trial.status is TrialStatus.FINISHED else None


def _ending(trial: Trial) -> str:
    return f"{trial.status}{f': {trial.reason}' if trial.reason else ''}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _ends(share: float, images: int) -> str:
    """Wilson's interval of an accuracy: "74.4 to 76.1 %"."""
    low, high = wilson(round(share * images), images)
    return f"{100 * low:.1f} to {100 * high:.1f} %"


def _gap(gap: float, half: float) -> str:
    return f"{signed(100 * gap)} ±{100 * half:.2f} points"


def _plan(found: StudyTable) -> Plan:
    plan = found.base.variant.plan
    if plan is None:
        raise ValueError("the base has no plan")
    return plan
