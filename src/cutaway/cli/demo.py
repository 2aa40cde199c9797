"""``cutaway demo``: from digits to a report."""

from __future__ import annotations

from cutaway.cli.console import Json, StoreOption, note, say, say_json


def demo(*, store: StoreOption = StoreOption(), json: Json = False) -> None:
    """Train on the embedded MNIST, look inside, write a report, print where it is."""
    from cutaway.cli.progress import TrainingProgress
    from cutaway.cli.report import write_report
    from cutaway.cli.runs import summary
    from cutaway.cli.train import announce
    from cutaway.store import train

    with TrainingProgress() as progress:
        run = train("digits", store=store.open(), observers=[progress], announce=announce)
    note("Looking inside …")
    path = write_report(run, None)
    facts = summary(run) | {"report": str(path)}
    if json:
        say_json(facts)
        return
    error = facts["best"]["scores"]["test"]["top1_error"]
    say(f"Test error {error:.2%} after {facts['seconds']:.0f} s of training. Open the report:")
    say(path.as_uri())
    note(f"Next: cutaway look maps {run.id} --image 227 · cutaway runs show {run.id} · cutaway nets list")
