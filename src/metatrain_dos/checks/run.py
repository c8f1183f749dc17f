"""Check an options file of ``mtt train`` together with its data."""

from dataclasses import dataclass

from ..data.dataset import SPLITS
from ..data.options_file import Keys, OptionsFile
from ..data.samples import samples
from ..data.sections import Section, read_sections
from ..loss.options import MaskedDOSHypers
from ..plugin.registry import register_entry_points
from ..utils.progress import progress
from ..utils.text import shorten
from .findings import Finding, Findings
from .inspection import Inspection
from .messages import add_problems
from .options import (
    check_architecture,
    check_losses,
    check_outline,
    check_training,
)
from .sections import (
    check_grids,
    check_masks,
    check_padding,
    check_presence,
    check_shifts,
    check_widths,
)
from .set_up import check_set_up
from .structures import (
    Contents,
    check_elements,
    check_equal_structures,
    check_sizes,
)


@dataclass
class Diagnosis:
    """Targets with our loss, structures of each data set, and sorted findings."""

    targets: list[str]
    structures: dict[str, int]
    findings: list[Finding]


def diagnose(options: OptionsFile) -> Diagnosis:
    """Check an options file and all data that it names."""
    register_entry_points()
    findings = Findings(options)
    contents: dict[str, Contents] = {}
    losses: dict[str, MaskedDOSHypers | None] = {}
    if check_outline(findings):
        sections = _read_all_sections(findings)
        trained = [each for each in sections if each.keys[0] == "training_set"]
        names = [name for each in trained for name in each.config.get("targets") or {}]
        losses = check_losses(findings, list(dict.fromkeys(names)))
        architecture = check_architecture(findings)
        check_training(findings, architecture.get("training", {}), list(losses))
        for target, hypers in losses.items():
            if hypers is not None:
                _check_data(findings, contents, target, hypers, sections)
        whole = [each for each in contents.values() if each.samples]
        check_equal_structures(findings, whole)
        check_sizes(findings, architecture.get("training", {}), whole)
        check_elements(findings, whole)
        check_set_up(findings, [each for each in sections if not each.missing])
        if names and not losses and not findings.found:
            findings.add(
                "note",
                ("architecture", "training", "loss"),
                "no target has the loss 'masked_dos'",
                "this command checks the data of that loss only",
                "type: masked_dos",
            )
    order = ["error", "warning", "note"]
    found = sorted(
        findings.found, key=lambda each: (order.index(each.severity), each.line or 0)
    )
    structures = {name: len(each.samples) for name, each in contents.items()}
    return Diagnosis(list(losses), structures, found)


def _read_all_sections(findings: Findings) -> list[Section]:
    """Expand all data sets that are named, and look for their files."""
    sections = []
    for name in SPLITS:
        try:
            sections += read_sections(findings.options, name)
        except Exception as error:  # metatrain raises many kinds
            _add_unreadable(findings, (name,), error)
    for section in sections:
        for file, keys in section.missing.items():
            _add_unreadable(findings, keys, FileNotFoundError(f"there is no {file}"))
        if section.is_beside:
            folder = findings.options.path.parent
            findings.add(
                "note",
                (*section.keys, "systems"),
                f"the files of {section.name} are not here, but in {folder}",
                "metatrain looks for them in the folder in which it is run",
                f"run `mtt train` in {folder}",
            )
    return sections


def _add_unreadable(
    findings: Findings, keys: Keys, error: Exception, where: str = ""
) -> None:
    """Add an error of reading a file, on which ``mtt train`` would fail, too."""
    findings.add(
        "error",
        keys,
        f"cannot be read: {where}{shorten(error)}",
        "`mtt train` reads the same files",
        "correct the path, or write the file again",
    )


def _check_data(
    findings: Findings,
    contents: dict[str, Contents],
    target: str,
    hypers: MaskedDOSHypers,
    sections: list[Section],
) -> None:
    """Check one target in all data sets."""
    check_presence(findings, target, sections)
    sections = [each for each in sections if target in each.entries]
    check_grids(findings, target, hypers, sections)
    check_shifts(findings, target, hypers, sections)
    if not check_padding(findings, target, hypers, sections):
        return
    inspection = Inspection(target, hypers)
    read = [each for each in sections if _inspect(findings, contents, inspection, each)]
    inspection.is_complete &= len(read) == len(sections)
    add_problems(findings, inspection)
    if not {"target width", "ignored width"} & {
        name for name, _ in inspection.problems
    }:
        check_widths(findings, target, sections)
    check_masks(findings, inspection, read)


def _inspect(
    findings: Findings,
    contents: dict[str, Contents],
    inspection: Inspection,
    section: Section,
) -> bool:
    """Inspect all structures of a data set; return whether all could be read."""
    if section.missing:
        return False
    seen = 0
    is_first = section.name not in contents
    part = contents.setdefault(section.name, Contents(section))
    found = samples(section, inspection.target)
    try:
        for sample in progress(f"Checking {section.name}", "structures", found):
            inspection.add(section, sample)
            if is_first:
                part.add(sample)
            seen += 1
        if seen == 0 and section.indices is None:
            raise ValueError("there are no structures in it")
    except Exception as error:  # files can be broken in many ways
        keys = (*section.keys, "systems", "read_from")
        _add_unreadable(findings, keys, error, f"{section.source}, structure {seen}: ")
        return False
    indices = section.indices or ()
    if len(indices) > seen:
        findings.add(
            "error",
            (*section.keys, "indices"),
            f"{len(indices) - seen} of {len(indices)} indices are beyond the end of "
            f"{section.source}",
            "metatrain refuses them",
            "count structures from 0",
        )
    return True
