"""``cutaway nets list | show``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from cutaway.cli.console import Json, note, say, say_json, say_table
from cutaway.cli.plan import plan_facts, tell_plan

app = App(name="nets", help="List and show the nets of the zoo.")


@app.command(name="list")
def list_nets(*, json: Json = False) -> None:
    """The zoo, smallest first: each net with its input, its parameters and what it is."""
    from cutaway.nets import ZOO, find_net, plan

    plans = {name: plan(find_net(name), ZOO[name].input_shape) for name in ZOO}
    plans = dict(sorted(plans.items(), key=lambda item: item[1].parameters))
    if json:
        facts = [
            {
                "name": name,
                "input": list(planned.input_shape),
                "layers": len(planned.rows),
                "parameters": planned.parameters,
                "multiply_adds": planned.multiply_adds,
                "summary": ZOO[name].summary,
                "source": ZOO[name].source,
            }
            for name, planned in plans.items()
        ]
        say_json({"nets": facts})
        return
    rows = [
        [name, "×".join(map(str, planned.input_shape)), f"{planned.parameters:,}", ZOO[name].summary]
        for name, planned in plans.items()
    ]
    say_table(["net", "input", "parameters>", "what it is"], rows)


@app.command
def show(
    net: str, /, *, diagram: Annotated[Path | None, Parameter(negative="")] = None, json: Json = False
) -> None:
    """One net: its notation, its source, its layers.

    Parameters
    ----------
    net
        a name of the zoo
    diagram
        also draw it as a flow diagram: an SVG file
    """
    from cutaway.nets import ZOO, find_net, plan

    entry = ZOO[net]
    spec = find_net(net)
    planned = plan(spec, entry.input_shape)
    if diagram:
        from cutaway.disk import write_file
        from cutaway.draw.diagram import flow_file

        write_file(diagram, flow_file(planned).encode())
        note(f"diagram: {diagram}")
    if json:
        facts = {"name": net, "summary": entry.summary, "source": entry.source, "notation": spec.text()}
        say_json(facts | plan_facts(planned))
        return
    say(f"{net}: {entry.summary}\n{entry.source}\n\n{spec.text()}\n")
    tell_plan(planned)
