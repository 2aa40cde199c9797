"""The command line: parse, call, print. Nothing here imports torch before a command needs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import closing
from difflib import get_close_matches

from cyclopts import App, CoercionError, CycloptsError

from cutaway import __version__
from cutaway.cli.work import WorkBar
from cutaway.errors import ConfigError, CutawayError
from cutaway.progress import listening

app = App(
    name="cutaway",
    help="Train convolutional image classifiers and see what every layer sees, learns and is worth.",
    version=__version__,
    help_format="plaintext",
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # main() answers it
)

_COMMANDS = {
    "demo": ("demo:demo", "Train on the embedded MNIST, look inside, write a report."),
    "init": ("init:init", "Look at a folder of images and propose an experiment."),
    "train": ("train:train", "Train an experiment and record the run."),
    "resume": ("train:resume", "Continue a run that was stopped or killed."),
    "import": ("importing:import_", "Take published weights into a net of the zoo."),
    "evaluate": ("evaluate:evaluate", "Score a run on a split."),
    "predict": ("predict:predict", "Classify image files."),
    "look": ("look:app", "Look inside a run: what its layers see, learn and are worth."),
    "report": ("report:report", "Write the report of a run or a study: one HTML file."),
    "study": ("study:app", "Train variants under equal terms and say what each change did."),
    "runs": ("runs:app", "List, show and remove runs."),
    "nets": ("nets:app", "List and show the nets of the zoo."),
    "plan": ("plan:plan", "Shapes, parameters and multiply-adds of every layer, without building anything."),
    "data": ("data:app", "List sources of images, show what is in one."),
    "doctor": ("doctor:doctor", "Versions, device, threads, health of the store."),
}
_MORE = {
    "train": "Any field of the experiment can be replaced: --train.lr 0.05 --data.validation 10000. "
    "docs/experiment.md lists them all. Ctrl-C stops at the end of a step, and can be resumed.",
    "doctor": "The exit code is 4 when something is wrong.",
}
for _name, (_target, _help) in _COMMANDS.items():
    _more = {"help_epilogue": _MORE[_name]} if _name in _MORE else {}
    app.command(f"cutaway.cli.{_target}", name=_name, help=_help, **_more)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; the console script exits with what this returns.

    Exit codes: 0 done, 1 failed, 2 wrong usage or config, 3 not found, 4 a check did not hold,
    130 interrupted.
    """
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in tokens
    tokens = [word for word in tokens if word != "--debug"]
    bar = WorkBar()
    try:
        with listening(bar), closing(bar):
            result = app(tokens, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        if debug:
            raise
        return _fail(_usage(error, tokens), ConfigError.exit_code)
    except CutawayError as error:
        if debug:
            raise
        return _fail(str(error), error.exit_code)
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _fail("Interrupted.", 130)
    return result if isinstance(result, int) else 0


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"cutaway: {message}\n")
    return code


def _usage(error: CycloptsError, tokens: Sequence[str]) -> str:
    """A mistake on the command line in one line, and where to read more."""
    text = " ".join(str(error).split())
    takes_fields = tokens[:1] == ["train"] or tokens[:2] in (["data", "show"], ["study", "run"])
    if isinstance(error, CoercionError) and takes_fields and "dict" in text:
        # What is no option of its own was taken for a field, but fields have a dot in their names.
        from cutaway.config import DataConfig, Experiment, PretrainConfig, TrainConfig

        option = text.partition("--")[2].partition(":")[0]
        known = [f"--{name}" for name in Experiment.model_fields if name not in {"data", "train", "pretrain"}]
        known += [f"--data.{name}" for name in DataConfig.model_fields]
        if tokens[0] == "train":
            known += [f"--train.{name}" for name in TrainConfig.model_fields]
            known += [f"--pretrain.{name}" for name in PretrainConfig.model_fields]
        same = [name for name in known if name.endswith(f".{option}")] or get_close_matches(
            option, known, 1, 0
        )
        text = f"There is no option --{option}. Did you mean {same[0]}?"
    command = f"{tokens[0]} " if tokens and tokens[0] in _COMMANDS else ""
    return f"{text.rstrip('.')}{'' if text.endswith('?') else '.'} See: cutaway {command}--help"
