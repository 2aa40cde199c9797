"""The page of E4: a small convolutional net on CIFAR-10, from the results in this folder alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from matplotlib.figure import Figure
from page import Claim, Page, Results, judged, made_line, row, rows, runs_table, signed, table

from cutaway import plot
from cutaway.draw.figures import FAINT, INK
from cutaway.draw.studies.epochs import COLOURS
from cutaway.draw.studies.wording import duration
from cutaway.look.interval import NORMAL_95, wilson
from cutaway.nets import Plan
from cutaway.study import StudyTable, Trial, TrialStatus, VariantRow
from cutaway.training import Score

STUDY, OURS = "e4", "our recipe"

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
    made: dict[str, Callable[[StudyTable], str]] = {
        "published": published_table,
        "layers": lambda found: layers_table(_plan(found)),
        "pace": pace_table,
        "same-time": same_time_table,
    }
    drawn: dict[str, Callable[[StudyTable], Figure]] = {
        "curves": lambda found: plot(found, which="curves"),
        "accuracy": accuracy_figure,
    }
    if f"{STUDY}.json" not in results.files:
        waiting = [*made, *drawn, "claims", "runs", "made"]
        return Page(tables | dict.fromkeys(waiting, PENDING), pictures)
    found = results.study(STUDY)
    tables |= {name: make(found) for name, make in made.items()}
    alt = "objective, top-1 and top-5 error by epoch: base and our recipe"
    tables["curves"] = f"{picture('curves', alt)}\n\n{gaps(found)}"
    tables["accuracy"] = picture("accuracy", "test accuracy by minutes of training: base and our recipe")
    tables |= {"runs": runs_table(results, STUDY), "made": made_line(results, STUDY)}
    return Page(tables, pictures | {name: draw(found) for name, draw in drawn.items()}, claims(found))


def picture(name: str, alt: str) -> str:
    """A picture of this page in Markdown."""
    return f"![{alt}](pictures/{name}.png)"


def published_table(found: StudyTable) -> str:
    """Accuracy and loss on the test split, beside the published ones."""
    head = ["", "test accuracy>", "95 %, over test images", "test loss>", "epochs>", "time"]
    lines = [["published", _percent(ACCURACY), _ends(ACCURACY, IMAGES), f"{LOSS:.5f}", 40, ""]]
    for one in rows(found):
        (trial,) = one.trials
        score = _final(trial)
        if score is None:
            lines.append([one.variant.name, "–", "", "–", len(trial.epochs), _ending(trial)])
            continue
        lines.append(
            [
                one.variant.name,
                _percent(1 - score.top1_error),
                _ends(1 - score.top1_error, score.images),
                f"{score.objective:.5f}",
                len(trial.epochs),
                duration(trial.seconds),
            ]
        )
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


def pace_table(found: StudyTable) -> str:
    """When each first had the published accuracy, and how long that took."""
    lines = []
    for one in rows(found):
        at = next((point for point in course(one) if point[2] >= ACCURACY), None)
        if at is None:
            best = max((point[2] for point in course(one)), default=math.nan)
            lines.append([one.variant.name, "never", "", f"best {_percent(best)}"])
        else:
            lines.append([one.variant.name, str(at[0]), duration(at[1]), _percent(at[2])])
    return table(
        ["", f"first epoch of {_percent(ACCURACY)} or more>", "time to there>", "test accuracy then>"], lines
    )


def same_time_table(found: StudyTable) -> str:
    """The accuracy of both after the same time: parts of what the shorter of them took."""
    courses = {one.variant.name: course(one) for one in rows(found)}
    whole = min((points[-1][1] for points in courses.values() if points), default=0.0)
    lines = []
    for share in (0.1, 0.25, 0.5, 1.0):
        reached = [_after(points, share * whole) for points in courses.values()]
        lines.append(
            [duration(share * whole), *(_percent(one) if one is not None else "–" for one in reached)]
        )
    return table(["after", *(f"{name}>" for name in courses)], lines)


def accuracy_figure(found: StudyTable) -> Figure:
    """Test accuracy against time, and the published one."""
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for one, colour in zip(rows(found), (FAINT, *COLOURS), strict=False):
        points = course(one)
        minutes = [seconds / 60 for _, seconds, _ in points]
        axes.plot(minutes, [100 * share for *_, share in points], color=colour, label=one.variant.name)
    axes.axhline(100 * ACCURACY, color=INK, linestyle=":", linewidth=1, label="published, 40 epochs")
    axes.set_xlabel("minutes of training and scoring, one thread", size=8, color=INK)
    axes.set_ylabel("test accuracy (%)", size=8, color=INK)
    axes.set_xlim(left=0)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=7, frameon=False, loc="lower right")
    return figure


def claims(found: StudyTable) -> list[Claim]:
    """The two published figures beside ours, and what our recipe makes of them."""
    base = _final(found.base.trials[0])
    text = f"40 epochs give a test accuracy of {_percent(ACCURACY)}"
    if base is None:
        return [Claim(text, judged(held=False, failed=False), _ending(found.base.trials[0]))]
    share = 1 - base.top1_error
    # Two trainings, each judged by its own images: ours are JPEG copies, and its net had other weights.
    half = NORMAL_95 * math.sqrt(share * (1 - share) / base.images + ACCURACY * (1 - ACCURACY) / IMAGES)
    gap = share - ACCURACY
    told = f"{_percent(share)} ({_ends(share, base.images)} over test images, one seed): {_gap(gap, half)}"
    # Only what falls below it fails: a better figure is no reason to doubt that this one was reached.
    found_claims = [Claim(text, judged(held=gap >= -half, failed=gap < -half), told)]
    recipe = _final(row(found, OURS).trials[0])
    if recipe is not None:
        better = 1 - recipe.top1_error
        spread = NORMAL_95 * math.sqrt((share * (1 - share) + better * (1 - better)) / base.images)
        told = f"{_percent(better)} ({_ends(better, recipe.images)}) against {_percent(share)}: "
        told += _gap(better - share, spread)
        outcome = judged(better - share > spread, better - share < -spread)
        text = "Ours, not published: our recipe is better with the same net and as many images"
        found_claims.append(Claim(text, outcome, told))
    return found_claims


def gaps(found: StudyTable) -> str:
    """What the curves show, in figures: where validation is best, how far training is ahead at the end."""
    told = []
    for one in rows(found):
        scored = [epoch for epoch in one.trials[0].epochs if "validation" in epoch.scores]
        if not scored:
            continue
        best = min(scored, key=lambda epoch: epoch.scores["validation"].objective)
        last = scored[-1]
        ahead = last.scores["validation"].top1_error - last.scores["train"].top1_error
        told.append(
            f"{one.variant.name}: the validation loss is least at epoch {best.epoch} of {last.epoch}, "
            f"and at the end the validation error is {signed(100 * ahead, 1)} points to that of training"
        )
    return f"{'; '.join(told)}."


def course(one: VariantRow) -> list[tuple[int, float, float]]:
    """Epoch, seconds from the start and test accuracy, wherever a variant's first trial was scored.

    Seconds of an epoch are those of its training and of its scoring.
    """
    (trial,) = one.trials
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
