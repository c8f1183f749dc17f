"""The options of the ``masked_dos`` loss, and the message when one is wrong."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from ..utils.text import closest, shorten
from .defaults import (
    DEFAULT_EXTRA_TARGETS,
    DEFAULT_SPACING,
    RECOMMENDED_INT_WEIGHT,
)


LOSS_TYPES = ("masked_dos", "metatrain-dos::masked_dos")
"""Both keys of the loss; no other package can take the second one."""

# YAML 1.1, and so PyYAML, reads `1e-4` as text because it has no decimal point, and
# OmegaConf gives the text of a variable for `${oc.env:X}`. Whoever wrote it means a
# number.
NUMBER_TEXT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def _number(value: Any) -> Any:
    """Pass numbers, and decimal numbers in text; pydantic would take ``True`` for 1."""
    if isinstance(value, str) and NUMBER_TEXT.fullmatch(value.strip()):
        return float(value)
    if isinstance(value, (bool, np.bool_, str, bytes)):
        raise ValueError("not a number")
    return value


Weight = Annotated[
    float,
    BeforeValidator(_number),
    Field(ge=0, allow_inf_nan=False, description="a finite number >= 0"),
]
Energy = Annotated[
    float,
    BeforeValidator(_number),
    Field(gt=0, allow_inf_nan=False, description="a finite number > 0, in eV"),
]
Columns = Annotated[
    int,
    BeforeValidator(_number),
    Field(ge=0, le=1_000_000, description="a whole number from 0 to 1000000"),
]


class MaskedDOSHypers(BaseModel):
    """Hyperparameters of the ``masked_dos`` loss, as in the options file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    grad_weight: Weight = 1e-4
    """Weight of the smoothness penalty, applied where no target constrains the
    prediction."""
    int_weight: Weight = RECOMMENDED_INT_WEIGHT
    """Weight of the error of the integrated density of states. Up to metatrain 2026.2
    it had no default; papers and older options files say 2.0, which outweighs the DOS
    on any axis of more than a few eV."""
    extra_targets: Columns = DEFAULT_EXTRA_TARGETS
    """Number of columns that the prediction has more than the target: how far, in
    units of ``grid_spacing``, a target can slide."""
    grid_spacing: Energy = DEFAULT_SPACING
    """Distance between two columns, eV."""
    tail_weight: Weight = 1.0
    """Weight of the prediction in front of the aligned target, where the density of
    states is zero."""
    spin_channels: Annotated[
        int,
        BeforeValidator(_number),
        Field(ge=1, le=2, description="1 or 2"),
    ] = 1
    """Number of spin channels that stand side by side in the columns of the target, the
    ``extra_targets`` of each in front of it. All share one shift, so that the exchange
    splitting counts."""
    shift_per: Annotated[
        Literal["sample", "structure"],
        Field(description="'sample' or 'structure'"),
    ] = "sample"
    """Which samples share a shift where targets are those of atoms: none, or all atoms
    of a structure, whose zero is the same. They are then one sample, whose loss is the
    mean over its atoms."""
    per_structure: Annotated[
        Literal["square", "root", "relative_root"],
        Field(description="'square', 'root' or 'relative_root'"),
    ] = "square"
    """Loss of one structure: the weighted sum of its terms, the root of it, or the root
    of it relative to the size of the target. A root keeps a few structures with large
    errors from dominating the gradient."""

    # metatrain's own, checked here too so that a mistake ends in one clean message
    weight: Annotated[
        float,
        BeforeValidator(_number),
        Field(allow_inf_nan=False, description="a finite number"),
    ] = 1.0
    """Weight of the whole loss among the losses of all targets."""
    reduction: Annotated[
        Literal["mean", "sum", "none"],
        Field(description="'mean', 'sum' or 'none'"),
    ] = "mean"
    """What to do with the losses of all samples; training needs one number, so not
    ``none`` there."""
    gradients: Annotated[
        dict[str, Any],
        Field(max_length=0, description="nothing (a DOS has no gradients to train on)"),
    ] = {}
    """Always empty; metatrain writes the key into expanded options files."""

    @field_validator("reduction")
    @classmethod
    def _scalar_in_training(cls, reduction: str, info: ValidationInfo) -> str:
        if reduction == "none" and info.context and info.context.get("training"):
            raise ValueError("training needs a single number")
        return reduction


Schema = TypeVar("Schema", bound=BaseModel)


def is_masked_dos(loss_type: Any) -> bool:
    """Tell whether ``type`` of a section ``loss`` is ours, under either of its keys."""
    return isinstance(loss_type, str) and loss_type in LOSS_TYPES


def validate_hypers(
    schema: type[Schema],
    options: Mapping[str, Any],
    *,
    loss_type: str,
    target: str | None = None,
    training: bool = False,
) -> Schema:
    """
    Check the options of a loss, all of them, and report every mistake at once.

    :param schema: pydantic model of the options; the description of a field completes
        the sentence "expected ..."
    :param options: the keys of the section as written, without ``type``
    :param loss_type: name of the loss, for the message
    :param target: name of the target, for the message, where it is known
    :param training: whether the options are for ``mtt train``, which needs a scalar
    :return: the options with defaults filled in
    :raises ValueError: if an option is unknown, or its value is not allowed
    """
    try:
        # Keys need not be text in YAML; as text they are plain unknown options.
        named = {str(key): value for key, value in options.items()}
        return schema.model_validate(named, context={"training": training})
    except ValidationError as error:
        problems: dict[str, str] = {}
        for detail in error.errors(include_url=False, include_context=False):
            name = str(detail["loc"][0])
            problems.setdefault(name, _describe(schema, name, detail))
        where = f" of target {shorten(target)}" if target else ""
        message = f"Invalid options for loss {loss_type!r}{where}: "
        message += "; ".join(problems.values())
        known = ", ".join(sorted(set(schema.model_fields) - {"gradients"}))
        raise ValueError(f"{message}; the options are {known}.") from None


def _describe(schema: type[BaseModel], name: str, detail: Any) -> str:
    """Describe the mistake in one option in one clause."""
    if name not in schema.model_fields:
        match = closest(name, list(schema.model_fields))
        hint = f" (did you mean '{match}'?)" if match else ""
        return f"unknown option {shorten(name)}{hint}"
    expected = schema.model_fields[name].description or detail["msg"]
    got = f"got {shorten(detail['input'])} ({type(detail['input']).__name__})"
    reason = ""
    if detail["type"] == "value_error" and name == "reduction":
        expected, reason = "'mean' or 'sum'", ", because training needs a single number"
    return f"'{name}' must be {expected}{reason}, {got}"
