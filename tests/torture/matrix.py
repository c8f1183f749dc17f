"""
Run a share of the test suite with other versions of Python, metatrain and torch.

Each row of the table is an environment of its own, made from the wheel and removed
afterwards. Releases of torch that come with CUDA are several GB, so they are left out
unless ``--cuda`` is given; what needs no torch is tested all the same. ``pip`` is what
chooses all other versions.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path


PROJECT = Path(__file__).parents[2]
METATRAIN = ("2026.3", "2026.3.1", "2026.4", "2026.4.1", "newest")
TORCH = "2.13.0"

# What depends on metatrain, a real `mtt train` among it.
TESTS = (
    "tests/plugin/test_validation.py",
    "tests/plugin/test_masked_dos.py",
    "tests/plugin/test_registry.py",
    "tests/plugin/test_train.py::TestTraining",
)
# What depends on torch alone, so that one metatrain is enough.
TESTS_OF_TORCH = ("tests/loss/test_terms.py", "tests/loss/test_dispatch.py")
WITHOUT = "soap_bpnn"  # which needs packages of its own
NEEDED = ("hypothesis", "pytest")

TESTS_WITHOUT_TORCH = (
    "tests/data/test_grid.py",
    "tests/data/test_references.py",
    "tests/figures/test_figures.py",
    "tests/data/readers/test_espresso.py",
    "tests/data/readers/test_readers.py",
    "tests/data/prepare/test_find.py",
    "tests/data/prepare/test_split.py",
    "tests/data/prepare/test_cache.py",
    "tests/data/test_dos.py",
)
NEEDS_TORCH = ("metatensor-torch", "metatrain", "torch")


class FailedError(Exception):
    """A command failed; the last lines of its output."""


def run(*command, **environment):
    """Run a command in the project, away from its sources; return its output."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=PROJECT,
        env={**clean, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise FailedError(done.stdout[-3000:])
    return done.stdout


def build(folder):
    """Build the wheel."""
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def needed_without_torch(wheel):
    """List the dependencies of the wheel apart from torch and those built on it."""
    with zipfile.ZipFile(wheel) as content:
        (name,) = (n for n in content.namelist() if n.endswith("/METADATA"))
        text = content.read(name).decode()
    needed = re.findall(r"^Requires-Dist: ([^;\n]+(?:; python_v.*)?)$", text, re.M)
    return [r for r in needed if re.match(r"[\w-]+", r)[0] not in NEEDS_TORCH]


def install(python, wheel, wanted, cuda):
    """
    Install what was asked for, if pip finds it and it is not too large.

    :return: the versions that pip has chosen, by name; without torch if it was left out
    """
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    report = wheel.with_name("report.json")
    packages = [wheel, *NEEDED, *wanted]
    run(*pip, "install", "--dry-run", "--report", report, *packages)
    chosen = {
        entry["metadata"]["name"]: entry["metadata"]["version"]
        for entry in json.loads(report.read_text("utf-8"))["install"]
    }
    if not cuda and any(name.startswith("nvidia") for name in chosen):
        run(*pip, "install", *NEEDED, *needed_without_torch(wheel))
        run(*pip, "install", "--no-deps", wheel)
        return {}
    run(*pip, "install", *packages)
    return chosen


def try_versions(interpreter, metatrain, torch, wheel, tests, cuda):
    """
    Make an environment and run the tests in it.

    :param tests: those to run if there is a torch
    :return: versions of Python, metatrain and torch, and how it went
    """
    version = run(interpreter, "-c", "import platform as p; print(p.python_version())")
    wanted = [f"torch=={torch}", f"metatrain=={metatrain}"]
    if metatrain == "newest":
        wanted[1] = "metatrain"
    folder = wheel.with_name("environment")
    try:
        run(interpreter, "-m", "venv", folder)
        python = folder / "bin" / "python"
        chosen = install(python, wheel, wanted, cuda)
        pytest = [python, "-m", "pytest", "--quiet", "-p", "no:cacheprovider"]
        if chosen:
            output = run(*pytest, "-k", f"not {WITHOUT}", *tests)
        else:
            # The module with the fixtures of all tests needs torch.
            fixtures = ("--noconftest", "-p", "helpers.outputs")
            output = run(*pytest, *fixtures, *TESTS_WITHOUT_TORCH, PYTHONPATH="tests")
        result = output.strip().splitlines()[-1]
    except FailedError as error:
        return version.strip(), metatrain, torch, f"FAILED\n{error}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not chosen:
        return version.strip(), "none", "none", f"{result}; torch {torch} is CUDA only"
    return version.strip(), chosen["metatrain"], chosen["torch"], result


def main():
    """Print a table; fail if any row does."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--metatrain", nargs="+", default=METATRAIN)
    parser.add_argument("--python", nargs="+", default=[sys.executable])
    parser.add_argument("--torch", nargs="+", default=[TORCH])
    parser.add_argument("--cuda", action="store_true", help="download CUDA, too")
    given = parser.parse_args()

    row = "{:<8} {:<10} {:<11} {:>7}  {}".format
    print(row("Python", "metatrain", "torch", "seconds", "result"))
    tried = []
    with tempfile.TemporaryDirectory(prefix="matrix-") as folder:
        wheel = build(Path(folder))
        for interpreter in given.python:
            for torch in given.torch:
                tests = TESTS + TESTS_OF_TORCH
                for metatrain in given.metatrain:
                    start = time.monotonic()
                    found = try_versions(
                        interpreter, metatrain, torch, wheel, tests, given.cuda
                    )
                    tests = TESTS
                    seconds = f"{time.monotonic() - start:.0f}"
                    print(row(*found[:3], seconds, found[3]), flush=True)
                    tried.append(found)
                    if found[2] == "none":
                        break  # the same without metatrain
    passed = sum("FAILED" not in each[3] for each in tried)
    print(f"{passed} passed, {len(tried) - passed} failed")
    sys.exit(passed < len(tried))


if __name__ == "__main__":
    main()
