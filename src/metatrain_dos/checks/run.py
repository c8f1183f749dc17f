"""Check an options file of ``mtt train`` together with its data."""

from dataclasses import dataclass, field

from ..data.dataset import SPLITS
from ..data.options_file import Keys, OptionsFile
from ..data.samples import samples
from ..data.sections import Section, read_sections
from ..loss.options import MaskedDOSHypers
from ..plugin.registry import register_entry_points
from ..utils.progress import progress
from ..utils.text import shorten
from .findings import Finding
from .inspection import Inspection
from .messages import findings_of
from .options import OptionChecks
from .sections import (
    check_grids,
    check_masks,
    check_padding,
    check_presence,
    check_widths,
)


@dataclass
class Diagnosis:
    """
    Hold all that is known of an options file and its data.

    :param targets: targets that have our loss
    :param structures: number of structures of each data set
    :param findings: what is wrong, errors first
    """

    targets: list[str] = field(default_factory=list)
    structures: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def diagnose(options: OptionsFile) -> Diagnosis:
    """
    Check an options file and all data that it names.

    :param options: the options file
    :return: what was found
    """
    register_entry_points()
    checks, diagnosis = OptionChecks(options), Diagnosis()
    if checks.base():
        sections = _read_all_sections(checks)
        trained = [each for each in sections if each.keys[0] == "training_set"]
        names = [name for each in trained for name in each.config.get("targets") or {}]
        losses = checks.losses(list(dict.fromkeys(names)))
        diagnosis.targets = list(losses)
        training = checks.metatrain()
        for target, hypers in losses.items():
            checks.training(training, target)
            if hypers is not None:
                _check_data(checks, diagnosis, target, hypers, sections)
        if names and not losses and not checks.findings:
            checks.add(
                "note",
                ("architecture", "training", "loss"),
                "no target has the loss 'masked_dos'",
                "this command checks the data of that loss only",
                "type: masked_dos",
            )
    order = ["error", "warning", "note"]
    diagnosis.findings = sorted(
        checks.findings,
        key=lambda each: (order.index(each.severity), each.line or 0),
    )
    return diagnosis


def _read_all_sections(checks: OptionChecks) -> list[Section]:
    """Expand all data sets that are named, and look whether their files are there."""
    sections = []
    for name in SPLITS:
        try:
            sections += read_sections(checks.options, name)
        except Exception as error:  # metatrain raises many kinds
            _cannot_be_read(checks, (name,), error)
    for section in sections:
        for file, keys in section.missing.items():
            _cannot_be_read(checks, keys, FileNotFoundError(f"there is no {file}"))
        if section.is_beside:
            folder = checks.options.path.parent
            checks.add(
                "note",
                (*section.keys, "systems"),
                f"the files of {section.name} are not here, but in {folder}",
                "metatrain looks for them in the folder in which it is run",
                f"run `mtt train` in {folder}",
            )
    return sections


def _cannot_be_read(
    checks: OptionChecks, keys: Keys, error: Exception, where: str = ""
) -> None:
    """Say that metatrain will stumble, too."""
    checks.add(
        "error",
        keys,
        f"cannot be read: {where}{shorten(error)}",
        "`mtt train` reads the same files",
        "correct the path, or write the file again",
    )


def _check_data(
    checks: OptionChecks,
    diagnosis: Diagnosis,
    target: str,
    hypers: MaskedDOSHypers,
    sections: list[Section],
) -> None:
    """Check one target in all data sets."""
    check_presence(checks, target, sections)
    sections = [each for each in sections if target in each.entries]
    check_grids(checks, target, hypers, sections)
    if not check_padding(checks, target, hypers, sections):
        return
    inspection = Inspection(target, hypers)
    read = [each for each in sections if _inspect(checks, diagnosis, inspection, each)]
    inspection.is_complete &= len(read) == len(sections)
    checks.findings += findings_of(checks.options, inspection)
    if not {"target width", "ignored width"} & {
        name for name, _ in inspection.problems
    }:
        check_widths(checks, target, sections)
    check_masks(checks, inspection, read)


def _inspect(
    checks: OptionChecks,
    diagnosis: Diagnosis,
    inspection: Inspection,
    section: Section,
) -> bool:
    """Read a data set to its end; say whether that worked."""
    if section.missing:
        return False
    seen = 0
    found = samples(section, inspection.target)
    try:
        for sample in progress(f"Checking {section.name}", "structures", found):
            inspection.add(section, sample)
            seen += 1
        if seen == 0 and section.indices is None:
            raise ValueError("there is none")
    except Exception as error:  # files can be broken in many ways
        keys = (*section.keys, "systems", "read_from")
        _cannot_be_read(checks, keys, error, f"{section.source}, structure {seen}: ")
        return False
    finally:
        diagnosis.structures[section.name] = seen
    missing = len(section.indices or ()) - seen
    if missing > 0:
        checks.add(
            "error",
            (*section.keys, "indices"),
            f"{missing} of {len(section.indices or ())} indices are beyond the end of "
            f"{section.source}",
            "metatrain refuses them",
            "count structures from 0",
        )
    return True
