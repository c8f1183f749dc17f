"""Registration with metatrain, each case in an interpreter of its own."""

import os
import subprocess
import sys
import textwrap

import pytest
from metatrain.utils.loss import LossType, create_loss


PYTHONPATH = os.environ.get("PYTHONPATH", "")

PLUGIN = """
from metatrain.utils.loss import LossInterface
from pydantic import BaseModel, ConfigDict

class PluginLoss(LossInterface):
    class Hypers(BaseModel):
        model_config = ConfigDict(extra="forbid")
        weight: float = 1.0
        reduction: str = "mean"
        gradients: dict = {}
        sharpness: int = 1

    def compute(self, predictions, targets, extra_data=None):
        return predictions[self.target].block().values.sum()
"""


def run(code, *folders, **environment):
    """Run a piece of Python with folders on the path; return its output and errors."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([*map(str, folders), PYTHONPATH]),
            # of TorchScript, on which metatensor is built
            "PYTHONWARNINGS": "ignore::DeprecationWarning,ignore::FutureWarning",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr.strip()


def make_package(folder, name, code, entry_points, module=None):
    """Lay out an installed package, as pip would, in a folder."""
    folder.mkdir(exist_ok=True)
    (folder / f"{module or name}.py").write_text(code)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[metatrain.losses]\n{entry_points}\n")
    return folder


@pytest.fixture
def plugin(tmp_path):
    return make_package(tmp_path, "plugin", PLUGIN, "plugged = plugin:PluginLoss")


def test_a_true_member_of_the_enumeration():
    member = LossType.from_key("masked_dos")
    assert member is LossType.MASKED_DOS is LossType["MASKED_DOS"]
    assert member in list(LossType) and member.key == "masked_dos"
    assert member.cls.__name__ == "MaskedDOSLoss"
    assert LossType(member.value) is member
    with pytest.raises(ValueError, match=r"Valid types: mse, .*masked_dos"):
        LossType.from_key("nonsense")


def test_nobody_needs_to_import_us():
    output, errors = run(
        """
        from metatrain.utils.loss import LossType
        print(LossType.from_key("masked_dos").cls.__module__)
        """
    )
    assert output == "metatrain_dos.plugin.masked_dos" and errors == ""


@pytest.mark.parametrize(
    "first",
    [
        "metatrain_dos.plugin.masked_dos",
        "metatrain_dos.plugin.registry",
        "metatrain_dos.loss.terms",
    ],
)
def test_whichever_module_comes_first(first):
    output, errors = run(
        f"""
        import {first}
        from metatrain.utils.loss import LossType
        print(LossType.from_key("masked_dos").cls.__module__)
        print(LossType.from_key("masked_dos") in LossType)
        """
    )
    assert output == "metatrain_dos.plugin.masked_dos\nTrue" and errors == ""


def test_importing_the_package_is_cheap():
    output, _ = run(
        """
        import sys
        before = set(sys.modules)
        import metatrain_dos
        print(sorted({"torch", "numpy", "metatrain"} & (set(sys.modules) - before)))
        print(metatrain_dos.EnergyGrid.__name__, "MaskedDOSLoss" in dir(metatrain_dos))
        """
    )
    assert output == "[]\nEnergyGrid True"


def test_unknown_attribute():
    import metatrain_dos

    with pytest.raises(AttributeError, match="has no attribute 'MaskedDos'"):
        metatrain_dos.MaskedDos  # noqa: B018


class TestPlugins:
    def test_entry_point(self, plugin):
        output, errors = run(
            """
            from metatrain.utils.loss import create_loss
            loss = create_loss(
                "plugged", name="x", gradient=None, weight=1.0, reduction="mean"
            )
            print(type(loss).__name__)
            """,
            plugin,
        )
        assert output == "PluginLoss" and errors == ""

    def test_plugin_that_is_imported_before_metatrain(self, plugin):
        output, errors = run(
            """
            import plugin
            from metatrain.utils.loss import LossType
            print(LossType.from_key("plugged").cls is plugin.PluginLoss)
            print(LossType.from_key.__qualname__)
            """,
            plugin,
        )
        assert output == "True\nLossType.from_key" and errors == ""

    def test_options_are_checked_by_the_schema_of_the_plugin(self, plugin):
        output, _ = run(
            """
            import metatrain.utils.loss
            from metatrain.utils.architectures import (
                check_architecture_options, get_default_hypers
            )
            options = get_default_hypers("pet", base_precision=32)
            section = {"type": "plugged", "sharpnes": 2}
            options["training"]["loss"] = {"other": "mse", "x": section}
            try:
                check_architecture_options("pet", options)
            except Exception as error:
                print(error)
            """,
            plugin,
        )
        assert output.startswith(
            "Invalid options for loss 'plugged' of target 'x': unknown option "
            "'sharpnes' (did you mean 'sharpness'?)"
        )

    def test_broken_plugin_is_left_out(self, tmp_path):
        make_package(tmp_path, "broken", "raise OSError('no')", "bad = broken:Loss")
        output, errors = run(
            """
            from metatrain.utils.loss import LossType
            print([m.key for m in LossType if m.key in ("bad", "masked_dos")])
            """,
            tmp_path,
        )
        assert output == "['masked_dos']"
        assert (
            "the loss 'bad' of the package 'broken' (broken:Loss) is not available: "
            "OSError: no" in errors
        )

    def test_metatrains_own_loss_wins(self, tmp_path):
        make_package(tmp_path, "plugin", PLUGIN, "mse = plugin:PluginLoss")
        output, errors = run(
            """
            from metatrain.utils.loss import LossType
            from metatrain_dos.plugin.registry import register_entry_points
            register_entry_points()
            print(LossType.from_key("mse").cls.__name__)
            print(LossType.from_key("plugin::mse").cls.__name__)
            """,
            tmp_path,
        )
        assert output == "TensorMapMSELoss\nPluginLoss"
        (warning,) = [line for line in errors.splitlines() if "RuntimeWarning" in line]
        assert warning.endswith(
            "the loss 'mse' of the package 'plugin' is available as `type: "
            "plugin::mse` only, because metatrain.utils.loss.TensorMapMSELoss has the "
            "key 'mse'"
        )

    def test_two_plugins_with_one_key(self, tmp_path):
        for name in ("first", "second"):
            entry = f"mine = {name}:PluginLoss"
            make_package(tmp_path / name, name, PLUGIN, entry)
        output, errors = run(
            """
            from metatrain.utils.loss import LossType
            for key in ("mine", "first::mine", "second::mine"):
                print(LossType.from_key(key).cls.__module__)
            """,
            *(tmp_path / name for name in ("first", "second")),
        )
        assert output == "first\nfirst\nsecond"
        assert errors.count("RuntimeWarning") == 1
        assert (
            "`type: second::mine` only, because first.PluginLoss has the key" in errors
        )


class TestHarmlessPlugins:
    """Whatever one plugin does, all others are registered."""

    def registered(self, *folders):
        output, errors = run(
            """
            from metatrain.utils.loss import LossType
            print(*(member.key for member in LossType))
            """,
            *folders,
        )
        assert "masked_dos" in output.split()
        assert "metatrain 2" not in errors  # "metatrain ... has no ..."
        assert errors.count("RuntimeWarning") == 1
        return output.split(), errors

    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            ("import sys; sys.exit('no licence')", "SystemExit: no licence"),
            ("raise GeneratorExit", "GeneratorExit: "),
            ("Loss = dict", "TypeError: loss 'a-broken::bad': expected a subclass of"),
        ],
    )
    def test_failing_import(self, tmp_path, code, reason):
        make_package(tmp_path, "a-broken", code, "bad = broken:Loss", module="broken")
        keys, errors = self.registered(tmp_path)
        assert "bad" not in keys
        assert f"'a-broken' (broken:Loss) is not available: {reason}" in errors

    def test_keyboard_interrupt_is_none_of_its_ways_to_fail(self, tmp_path):
        make_package(tmp_path, "plugin", "raise KeyboardInterrupt", "x = plugin:Loss")
        output, _ = run(
            """
            try:
                import metatrain.utils.loss
            except KeyboardInterrupt:
                print("interrupted")
            """,
            tmp_path,
        )
        assert output == "interrupted"

    def test_name_of_a_member(self, tmp_path):
        """metatrain's ``gaussian_nll_ensemble`` is the member ``GAUSSIAN_NLL``."""
        entry = "gaussian_nll = plugin:PluginLoss"
        make_package(tmp_path, "plugin", PLUGIN, entry)
        keys, errors = self.registered(tmp_path)
        assert "plugin::gaussian_nll" in keys and "gaussian_nll" not in keys
        assert (
            "`type: plugin::gaussian_nll` only, because metatrain.utils.loss."
            "TensorMapGaussianNLLLoss has the name 'GAUSSIAN_NLL' in metatrain's"
        ) in errors

    def test_reloading_keeps_all_losses(self, plugin):
        output, errors = run(
            """
            import importlib
            import metatrain.utils.loss as module
            from metatrain_dos import register_loss

            @register_loss("mine")
            class Mine(module.LossInterface):
                def compute(self, predictions, targets, extra_data=None):
                    return 1

            for _ in range(2):
                importlib.reload(module)
            for key in ("masked_dos", "plugged", "metatrain-dos::masked_dos", "mine"):
                print(module.LossType.from_key(key).cls.__name__)
            print([member.key for member in module.LossType].count("masked_dos"))
            register_loss("again")(Mine)
            """,
            plugin,
        )
        names = "MaskedDOSLoss\nPluginLoss\nMaskedDOSLoss\nMine\n1"
        assert output == names and errors == ""


class TestDecorator:
    def test_registers_and_returns_the_class(self):
        output, errors = run(
            """
            from metatrain_dos import register_loss
            from metatrain.utils.loss import LossInterface, LossType, create_loss

            @register_loss("mine")
            class Mine(LossInterface):
                def compute(self, predictions, targets, extra_data=None):
                    return 1

            print(register_loss("mine")(Mine) is Mine)
            print([m.key for m in LossType].count("mine"))
            loss = create_loss(
                "mine", name="x", gradient=None, weight=1.0, reduction="mean"
            )
            print(loss({}, {}))
            """
        )
        assert output == "True\n1\n1" and errors == ""

    def test_refuses_a_taken_key(self):
        from metatrain_dos import MaskedDOSLoss, register_loss

        with pytest.raises(ValueError, match=r"metatrain\.utils\.loss\.TensorMapMSEL"):
            register_loss("mse")(MaskedDOSLoss)

        class Other(MaskedDOSLoss):
            pass

        with pytest.raises(ValueError, match=r"MaskedDOSLoss has"):
            register_loss("masked_dos")(Other)

    def test_refuses_what_is_no_loss(self):
        from metatrain_dos import register_loss

        for thing in (dict, len):
            with pytest.raises(TypeError, match="'x': expected a subclass of"):
                register_loss("x")(thing)


class TestChangedMetatrain:
    """What users read once metatrain has changed. The change itself is simulated."""

    @pytest.mark.parametrize(
        ("change", "missing"),
        [
            ("del loss.LossType.from_key", r"LossType.from_key"),
            ("del loss.LossType", r"enumeration LossType"),
            ("loss.LossType = type('LossType', (), {})", r"enumeration LossType"),
            ("del loss.LossInterface", r"LossInterface"),
            (
                "loss.LossType.__init__ = lambda self, key, cls, more: None",
                "enumeration LossType of keys and classes",
            ),
        ],
    )
    def test_one_sentence(self, change, missing):
        output, _ = run(
            f"""
            import warnings
            import metatrain.utils.loss as loss
            import metatrain_dos_startup
            {change}
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                metatrain_dos_startup.register()
            print(*(warning.message for warning in caught), sep="\\n")
            """,
            METATRAIN_DOS_AUTOLOAD="0",
        )
        assert output.startswith(
            "metatrain-dos could not register its losses with metatrain, so "
            "'masked_dos' is unknown to it: metatrain 2"
        )
        assert f"has no {missing} in" in output and "install a newer" in output
        assert len(output.splitlines()) == 1

    def test_without_the_validation_losses_still_work(self):
        output, errors = run(
            """
            import metatrain.utils.pydantic as validation
            del validation.validate
            from metatrain.utils.loss import LossType
            print(LossType.from_key("masked_dos").cls.__name__)
            """
        )
        assert output == "MaskedDOSLoss"
        assert "validates options in another way than metatrain-dos" in errors
        assert "refused only after the data set has been read; install a" in errors
        assert errors.count("RuntimeWarning") == 1


def test_metatrains_losses_are_as_before():
    loss = create_loss("mse", name="x", gradient=None, weight=1.0, reduction="mean")
    assert type(loss).__module__ == "metatrain.utils.loss"
