"""
Read an options file of ``mtt train`` and its data, and find whatever would spoil a
training run on a density of states. Exit status: 0 without errors, 1 with errors, 2 if
the options file cannot be used.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "options", help="options file of `mtt train`, or the folder of options.yaml"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the findings as JSON, nothing else"
    )


def run(arguments: argparse.Namespace) -> None:
    """Check the options file, and exit."""
    file = Path(arguments.options)
    file = file / "options.yaml" if file.is_dir() else file
    sys.exit(check(str(file), as_json=arguments.json))


def check(file: str, *, as_json: bool = False) -> int:
    """Check an options file and its data, print the findings, and return the status."""
    # Here, because `mtt-dos --help` should not wait for torch.
    from ..checks.findings import Finding
    from ..checks.run import Diagnosis, diagnose
    from ..data.options_file import OptionsFile, UnusableOptionsError

    status = 0
    try:
        with warnings.catch_warnings():
            # metatrain's own, about its dependencies
            warnings.filterwarnings("ignore", module=r"metatrain\.")
            diagnosis = diagnose(OptionsFile.read(file))
    except UnusableOptionsError as error:
        status = 2
        if not as_json:
            print(f"mtt-dos check: {error}", file=sys.stderr)
            return status
        fix = "write an options file that `mtt train` accepts"
        unusable = Finding("error", "", None, str(error), "nothing can be checked", fix)
        diagnosis = Diagnosis([], {}, [unusable])
    findings, structures = diagnosis.findings, diagnosis.structures
    severities = [each.severity for each in findings]
    status = max(status, int("error" in severities))
    if as_json:
        content = {
            "options": file,
            "targets": diagnosis.targets,
            "structures": structures,
            "findings": [each.content() for each in findings],
        }
        print(json.dumps(content, indent=2))
        return status
    for each in findings:
        print(each.text(file), end="\n\n")
    counts = [
        f"{severities.count(kind)} {kind}{'s' * (severities.count(kind) > 1)}"
        for kind in ("error", "warning", "note")
        if kind in severities
    ]
    read = ", ".join(f"{name} {count}" for name, count in structures.items())
    print(
        f"{file}: {', '.join(counts) or 'nothing wrong'} in "
        f"{sum(structures.values())} structures" + (f" ({read})" if read else "")
    )
    return status
