"""The reference pages of docs/, made from the commands and from the fields of experiments and studies."""

from __future__ import annotations

from typing import Any

from cutaway.cli.app import app
from cutaway.config import Experiment, LookConfig, Study, VariantConfig, dump_experiment
from cutaway.config.section import Section

_MADE = "<!-- Made from the code by `make docs`. A test fails when this page is stale. -->\n\n"

_EXIT_CODES = """
## Exit codes

| code | meaning |
| --- | --- |
| 0 | done |
| 1 | failed: the message says what to do |
| 2 | wrong usage, experiment or net |
| 3 | not found: a run, source, net, layer or file |
| 4 | a check did not hold |
| 130 | interrupted, after a checkpoint; the message has the line that resumes |

Results go to stdout, progress and notes to stderr; `--json` prints one object. An error is one or
two lines; `--debug` adds the traceback. `NO_COLOR` and pipes are respected.
"""


def pages() -> dict[str, str]:
    """The generated pages: file name to Markdown."""
    return {"commands.md": _commands(), "experiment.md": _experiment(), "study.md": _study()}


def _commands() -> str:
    text = app.generate_docs(output_format="markdown", recursive=True, heading_level=1)
    return f"{_MADE}{text.strip()}\n{_EXIT_CODES}"


def _experiment() -> str:
    parts = [
        _MADE,
        "# The experiment\n\n",
        "An experiment is a TOML file, or the name of a built-in one. What is left out has its default; "
        "an unknown field is refused. Any field can be replaced on the command line: `--seed 3`, "
        "`--train.lr 0.05`. The run keeps the complete experiment as `experiment.toml`.\n",
        _table("Top level", "", Experiment),
    ]
    for name, field in Experiment.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            parts.append(_table(f"`[{name}]`", f"{name}.", field.annotation))
    parts.append(f"\n## All defaults\n\n```toml\n{dump_experiment(Experiment())}```\n")
    return "".join(parts)


def _study() -> str:
    parts = [
        _MADE,
        "# The fields of a study\n\n",
        "A study is a TOML file. What is left out has its default; an unknown field is refused. "
        "[Studies](studies.md) says what is made of it.\n",
        _table("Top level", "", Study),
        _table("`[[variant]]`", "", VariantConfig),
        _table("`[[look]]`", "", LookConfig),
    ]
    for name, field in Study.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            parts.append(_table(f"`[{name}]`", f"{name}.", field.annotation))
    return "".join(parts)


def _table(title: str, prefix: str, section: type[Section]) -> str:
    rows = [f"\n## {title}\n\n| field | default | range | what it is |\n| --- | --- | --- | --- |\n"]
    for name, field in section.model_fields.items():
        if isinstance(field.default, Section):
            continue
        extra: Any = field.json_schema_extra
        unit = f" {extra['unit']}" if extra["unit"] else ""
        default = f"`{field.default}`{unit}" if field.default != "" else "empty"
        rows.append(f"| `{prefix}{name}` | {default} | {_range(field)} | {field.description} |\n")
    return "".join(rows)


def _range(field: Any) -> str:
    if hasattr(field.annotation, "__members__"):
        return ", ".join(f"`{member.value}`" for member in field.annotation)
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    told = [
        f"{sign} {getattr(bound, name):,}"
        for bound in field.metadata
        for name, sign in signs.items()
        if hasattr(bound, name)
    ]
    return ", ".join(told)
