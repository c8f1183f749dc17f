"""What the documentation shows is what the package does."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from metatrain_dos import MaskedDOSLoss
from metatrain_dos.hypers import MaskedDOSHypers


PROJECT = Path(__file__).parents[1]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]


def blocks(language):
    """Collect the code blocks of a language in all pages."""
    fence = re.compile(rf"^```{language}\n(.*?)^```", re.DOTALL | re.MULTILINE)
    return [
        pytest.param(code, id=f"{page.name}-{i}")
        for page in PAGES
        for i, code in enumerate(fence.findall(page.read_text("utf-8")))
    ]


@pytest.mark.parametrize("code", blocks("python"))
def test_python_runs(code, tmp_path):
    (tmp_path / "examples").symlink_to(PROJECT / "examples")
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text", blocks("yaml"))
def test_yaml_holds_valid_losses(text):
    content = OmegaConf.to_container(OmegaConf.create(text))
    for section in content.get("loss", {}).values():
        if section.pop("type") == "masked_dos":
            MaskedDOSLoss("mtt::dos", **section)


def test_the_table_of_options_is_complete():
    text = (PROJECT / "docs" / "options.md").read_text("utf-8")
    row = r"^\| `(\w+)` \|[^|]*\|[^|]*\| `?([^|`]*)`? \|"
    rows = dict(re.findall(row, text, re.MULTILINE))
    fields = dict(MaskedDOSHypers.model_fields)
    del fields["gradients"]
    assert rows.keys() == fields.keys()
    for name, field in fields.items():
        shown = rows[name].strip()
        assert str(field.default) == shown or float(shown) == field.default


def test_links_inside_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
