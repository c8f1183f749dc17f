"""Fixtures that several test modules use, and the options of ``make torture``."""

import os

import hypothesis
import pytest
from helpers.cases import make_case
from helpers.commands import reading, running
from helpers.outputs import no_waiting, unpack
from helpers.processes import mtt
from helpers.training import make_folder


# Tests of the compiled loss do not wait for the next run to have it.
os.environ["METATRAIN_DOS_COMPILE"] = "now"


# Fixtures that some tests have without this module.
__all__ = ["no_waiting", "unpack"]

# With processes that take one file after the other, none should begin these last.
LONGEST = ("test_train", "test_install", "test_docs", "test_interruption")


def pytest_collection_modifyitems(items):
    """Begin with the files that take longest."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


@pytest.fixture
def case():
    return make_case(seed=0)


# ---------------------------------------------------------------------- make torture

COUNTS = pytest.StashKey()


def pytest_addoption(parser):
    parser.addoption(
        "--torture",
        action="store_true",
        help="run all of tests/torture, of which the default is a small share",
    )


def pytest_configure(config):
    # No time limit for an example, because the machine may be busy, and no memory of
    # earlier runs.
    common = {"deadline": None, "database": None, "print_blob": True}
    hypothesis.settings.register_profile(
        "share", derandomize=True, max_examples=20, **common
    )
    hypothesis.settings.register_profile("torture", max_examples=1000, **common)
    torture = config.getoption("--torture")
    hypothesis.settings.load_profile("torture" if torture else "share")
    config.stash[COUNTS] = {}


@pytest.fixture(scope="session")
def amount(request):
    """Choose between the share of `make test` and what `make torture` does."""

    def choose(share, torture):
        return torture if request.config.getoption("--torture") else share

    return choose


@pytest.fixture(scope="session")
def only_torture(amount):
    """Skip a test that has no small share."""
    if not amount(False, True):
        pytest.skip("in make torture only")


@pytest.fixture(scope="session")
def seed(request):
    """Seed of all random cases: ``--hypothesis-seed``, or 0."""
    given = request.config.getoption("--hypothesis-seed") or "0"
    return int(given) if given.isdecimal() else 0


@pytest.fixture(scope="session")
def tally(request):
    """Count attempts, for the list at the end."""
    counts = request.config.stash[COUNTS]

    def add(what, number=1):
        counts[what] = counts.get(what, 0) + number

    return add


def pytest_terminal_summary(terminalreporter, config):
    counts = config.stash[COUNTS]
    if counts:
        terminalreporter.section("tried")
        for what in sorted(counts):
            terminalreporter.line(f"{counts[what]:>9,}  {what}")


@pytest.fixture(scope="session")
def command(tmp_path_factory):
    """Run ``mtt-dos`` in a folder, with limits of memory and time."""
    with running(tmp_path_factory.mktemp("idle")) as command:
        yield command


@pytest.fixture(scope="session")
def reader():
    """Read outputs of calculations and data sets in another process."""
    with reading() as read:
        yield read


@pytest.fixture(scope="session")
def train(tmp_path_factory):
    """
    Train on the YAML of the paper, once for each architecture.

    Returns the folder, which is for reading, the log and the grid.
    """
    done = {}

    def train(architecture):
        if architecture not in done:
            folder = tmp_path_factory.mktemp(architecture)
            spec = make_folder(folder, architecture)
            status, log = mtt("train", "options.yaml", folder=folder)
            assert status == 0, log
            done[architecture] = folder, log, spec
        return done[architecture]

    return train
