"""
Let metatrain do with a ``loss:`` section what ``mtt train`` does, until it reads data.

Case NUMBER of a seed is always the same: ``python loss_route.py SEED NUMBER`` prints
the section, and what becomes of it.
"""

import argparse
import io
import signal
import sys
import traceback
import types
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec

import metatrain.cli.train as cli
import metatrain.utils.pydantic as validation
import torch
from loss_sections import make_section
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatrain.share.base_hypers import BaseHypers
from metatrain.utils.architectures import (
    check_architecture_options,
    get_default_hypers,
)
from metatrain.utils.loss import LossAggregator, LossSpecification
from metatrain.utils.omegaconf import BASE_OPTIONS, expand_loss_config
from omegaconf import OmegaConf
from pydantic import TypeAdapter
from typing_extensions import TypedDict


# What a section may take of the time of the processor, seconds
LIMIT = 10

OPTIONS_FILE = """\
architecture:
  name: {architecture}
  training:
    loss: {loss}
training_set:
  systems: none.xyz
  targets:
    mtt::dos: {{}}
    mtt::spin: {{}}
seed: 12
device: cpu
validation_set: 0.1
test_set: 0.1
"""


@dataclass
class Outcome:
    """
    Tell what has become of a section.

    :param stage: the last step that was reached: ``read``, ``validate``, ``construct``
        or ``accepted``
    :param error: what was raised there
    :param section: content of the text, if it could be read
    :param losses: the losses that were made
    """

    stage: str
    error: BaseException | None = None
    section: object = None
    losses: dict = field(default_factory=dict)

    @property
    def passes_through_us(self):
        """Whether the error was raised in this package or below it."""
        frames = traceback.extract_tb(self.error.__traceback__) if self.error else []
        return any(
            "metatrain_dos" in frame.filename and frame.name != "check_first"
            for frame in frames
        )


class Fuzzed:
    """An architecture without options of its own, because those take time to merge."""

    class ModelHypers(TypedDict):
        pass

    class TrainerHypers(TypedDict):
        loss: str | dict[str, LossSpecification | str] = "mse"


def _install(name, **content):
    """Make a module that metatrain finds among its architectures."""
    module = types.ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    module.__dict__.update(content)
    sys.modules[name] = module


_install("metatrain.fuzzed")
_install(
    "metatrain.fuzzed.documentation",
    ModelHypers=Fuzzed.ModelHypers,
    TrainerHypers=Fuzzed.TrainerHypers,
)


def _tensor_map(gradient):
    """Make the layout of a target."""
    block = TensorBlock(
        values=torch.zeros(0, 42),
        samples=Labels.empty("system"),
        components=[],
        properties=Labels.range("dos", 42),
    )
    if gradient:
        block.add_gradient(
            "positions",
            TensorBlock(
                values=torch.zeros(0, 3, 42),
                samples=Labels.empty(["sample", "atom"]),
                components=[Labels.range("xyz", 3)],
                properties=Labels.range("dos", 42),
            ),
        )
    return TensorMap(Labels.single(), [block])


class Info:
    """What a loss asks of its target."""

    def __init__(self, gradient):
        self.layout = _tensor_map(gradient)


INFOS = {"mtt::dos": Info(False), "mtt::spin": Info(True)}


@contextmanager
def _time_limit():
    def stop(*_):
        raise TimeoutError(f"more than {LIMIT} s")

    old = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, old)


BASE_SCHEMA = TypeAdapter(BaseHypers)
OPTIONS_MODELS = {}


@contextmanager
def _quick_validation(architecture):
    """Let pydantic keep what metatrain makes anew for every file."""
    build, create = validation.TypeAdapter, validation.create_model

    def create_once(*name, **fields):
        if architecture not in OPTIONS_MODELS:
            OPTIONS_MODELS[architecture] = create(*name, **fields)
        return OPTIONS_MODELS[architecture]

    validation.TypeAdapter = lambda cls: (
        BASE_SCHEMA if cls is BaseHypers else build(cls)
    )
    validation.create_model = create_once
    try:
        yield
    finally:
        validation.TypeAdapter, validation.create_model = build, create


def follow(text, architecture="fuzzed"):
    """
    Let metatrain do with a section what ``mtt train`` does, until it reads data.

    :param text: what follows ``loss:``
    :param architecture: of metatrain; ``fuzzed`` is quick
    :return: what has become of it
    """
    file = io.StringIO(OPTIONS_FILE.format(architecture=architecture, loss=text))
    outcome = Outcome("read")
    try:
        with _time_limit(), _quick_validation(architecture):
            _follow(outcome, file, architecture)
    except Exception as error:
        outcome.error = error
    return outcome


def _follow(outcome, file, architecture):
    # As in `mtt train`: metatrain.cli.train, without data and model
    arguments = argparse.Namespace(options=file, override_options=[])
    cli._prepare_train_model_args(arguments)
    outcome.stage = "validate"
    plain = OmegaConf.to_container(arguments.options)
    architecture_options = plain.get("architecture")
    outcome.section = architecture_options["training"]["loss"]
    options = OmegaConf.create(cli.validate_base_options(plain))
    defaults = {"architecture": get_default_hypers(architecture)}
    options = OmegaConf.merge(BASE_OPTIONS, defaults, options)
    check_architecture_options(
        architecture, OmegaConf.to_container(options["architecture"])
    )
    outcome.stage = "construct"
    options = expand_loss_config(options)
    hypers = OmegaConf.to_container(options["architecture"], resolve=True)
    # As in the trainers
    aggregator = LossAggregator(INFOS, hypers["training"]["loss"])
    outcome.losses = aggregator.losses
    outcome.stage = "accepted"


if __name__ == "__main__":
    section = make_section(*map(int, sys.argv[1:3]))
    print(f"loss: {section}\n")
    found = follow(section)
    print(f"{found.stage}: {type(found.error).__name__}: {found.error}")
