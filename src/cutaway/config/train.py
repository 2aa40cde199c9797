"""The recipe: how long, in what steps and with what the weights are moved."""

from __future__ import annotations

from enum import StrEnum

from pydantic import ValidationInfo, field_validator

from cutaway.config.section import Section, setting
from cutaway.config.size import parse_bytes


class OptimiserKind(StrEnum):
    """The rule that turns gradients into steps."""

    SGD = "sgd"
    ADAM = "adam"
    ADAMW = "adamw"


class ScheduleKind(StrEnum):
    """How the learning rate moves over the training."""

    CONSTANT = "constant"
    STEP = "step"
    COSINE = "cosine"
    ONE_CYCLE = "one-cycle"


class PrecisionKind(StrEnum):
    """What the products of a training step are computed in."""

    FLOAT32 = "float32"
    TF32 = "tf32"
    BF16 = "bf16"


class TrainConfig(Section):
    """The ``[train]`` section."""

    epochs: int = setting(
        10, "passes over the training split; 0 keeps the random weights", "epochs", ge=0, le=100_000
    )
    batch: int = setting(128, "images in one step", "images", ge=1, le=1_000_000)
    optimiser: OptimiserKind = setting(OptimiserKind.SGD, "the rule that turns gradients into steps")
    lr: float = setting(0.1, "learning rate; the peak where the schedule rises", ge=0, le=1000)
    norm_bias_rate: float = setting(
        1.0,
        "by what the learning rate is multiplied for the biases of batch norms, which in few epochs would "
        "not come far enough",
        gt=0,
        le=1000,
    )
    momentum: float = setting(0.9, "share of the last step that SGD keeps", ge=0, lt=1)
    nesterov: bool = setting(
        True, "let SGD look ahead along its momentum; needs momentum", validate_default=True
    )
    beta1: float = setting(0.9, "decay of Adam's mean of gradients", ge=0, lt=1)
    beta2: float = setting(0.999, "decay of Adam's mean of squared gradients", ge=0, lt=1)
    weight_decay: float = setting(
        0.0, "pull of conv and dense weights towards zero; biases and norms are left alone", ge=0, le=100
    )
    schedule: ScheduleKind = setting(ScheduleKind.ONE_CYCLE, "how the learning rate moves over the training")
    warmup: float = setting(0.2, "one-cycle: share of the steps in which the rate rises", ge=0, lt=1)
    warmup_epochs: float = setting(
        0.0,
        "every other schedule: epochs in which the rate rises to what the schedule has",
        "epochs",
        ge=0,
        le=100_000,
    )
    step_epochs: int = setting(10, "step: epochs between two drops of the rate", "epochs", ge=1, le=100_000)
    step_factor: float = setting(0.1, "step: what each drop multiplies the rate by", gt=0, le=1)
    label_smoothing: float = setting(0.0, "share of the target that is spread over all classes", ge=0, lt=1)
    average: float = setting(
        0.0,
        "epochs over which weights are averaged, the newest counting most; the mean is what is scored and "
        "kept; 0 for the weights themselves",
        "epochs",
        ge=0,
        le=100_000,
    )
    mirror: bool = setting(
        False, "score and predict by the mean of an image and its mirror image; not for writing"
    )
    shifted: int = setting(
        0,
        "score and predict by the mean with the image moved by so many pixels, up left and down right; 0 for "
        "the image alone",
        "pixels",
        ge=0,
        le=64,
    )
    score_every: int = setting(
        1,
        "score validation and test after every so many epochs, and after the last",
        "epochs",
        ge=1,
        le=100_000,
    )
    plain_epochs: int = setting(
        0, "epochs at the end in which images are not varied", "epochs", ge=0, le=100_000
    )
    freeze: tuple[str, ...] = setting((), "layers, by name or pattern, that keep their first weights")
    freeze_after: dict[str, int] = setting(
        {}, "layers, by name or pattern, that learn for so many epochs and then stay", "epochs"
    )
    train_only: tuple[str, ...] = setting((), "the only layers that learn, by name or pattern; none for all")
    clip: float = setting(
        0.0, "longest gradient: a longer one is shortened to this L2 norm; 0 for any length", ge=0, le=1e6
    )
    patience: int = setting(
        0,
        "stop after so many epochs without a better validation error; 0 for never",
        "epochs",
        ge=0,
        le=100_000,
    )
    minutes: float = setting(0.0, "stop after so much time; 0 for never", "minutes", ge=0, le=1e6)
    checkpoint_minutes: float = setting(
        10.0, "keep a checkpoint within an epoch this often; 0 for at its end only", "minutes", ge=0, le=1e6
    )
    keep_every: int = setting(
        0,
        "keep the weights of every so many epochs, to look into later; 0 for the best and the last only",
        "epochs",
        ge=0,
        le=100_000,
    )
    dynamics: int = setting(
        20,
        "steps of an epoch in which every layer's gradients and weights are measured; 0 for none",
        "steps",
        ge=0,
        le=100_000,
    )
    device: str = setting("auto", "auto, cpu, cuda or cuda:N", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    precision: PrecisionKind = setting(
        PrecisionKind.FLOAT32,
        "what a step's products are computed in; weights, sums, the objective and scores are always float32",
    )
    deterministic: bool = setting(
        False, "let a GPU give the same weights each time, more slowly; a CPU does anyway"
    )
    threads: int = setting(0, "CPU threads; 0 for as many as there are cores", "threads", ge=0, le=1024)

    memory: str = setting(
        "auto",
        "the most that training may take, such as 2GiB: on the CPU the whole process, on a GPU the net; "
        "auto for what is free",
    )
    microbatch: int = setting(
        0,
        "images that go through at once, with the same gradient; 0 for the whole batch, or as many as fit",
        "images",
        ge=0,
        le=1_000_000,
    )
    split_batchnorm: bool = setting(
        False, "let batch norm take its means over micro-batches, which changes the training"
    )

    @field_validator("memory", mode="before")
    @classmethod
    def _memory_may_be_a_number(cls, value: object) -> object:
        # Bytes: a number on the command line or in TOML.
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("memory")
    @classmethod
    def _memory_is_a_size(cls, value: str) -> str:
        if value != "auto":
            parse_bytes(value)
        return value

    @field_validator("freeze", "train_only", mode="before")
    @classmethod
    def _one_layer_or_more(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("freeze_after")
    @classmethod
    def _epochs_above_zero(cls, value: dict[str, int]) -> dict[str, int]:
        if any(epochs < 1 for epochs in value.values()):
            raise ValueError("should have epochs of 1 or more; freeze keeps a layer from the start")
        return value

    @field_validator("nesterov")
    @classmethod
    def _nesterov_needs_momentum(cls, value: bool, info: ValidationInfo) -> bool:
        # Optimiser and momentum stand above, so they are checked already; a wrong one is missing.
        without = info.data.get("optimiser") is OptimiserKind.SGD and info.data.get("momentum") == 0
        return value and not without
