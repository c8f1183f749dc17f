"""The loss on TensorMaps."""

import numpy as np
import pytest
import reference
import torch
from helpers.cases import EXTRA, HYPERS, OPTIONS, make_case, pad, tensor_map
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatrain.utils.loss import LossAggregator, LossInterface, create_loss

from metatrain_dos import MaskedDOSLoss
from metatrain_dos.loss.terms import masked_dos


NAME = "mtt::dos"


def compute(predictions, targets, mask=None, **options):
    loss = MaskedDOSLoss(NAME, **{**HYPERS, "extra_targets": EXTRA, **options})
    extra_data = None if mask is None else {f"{NAME}_mask": mask}
    return loss({NAME: predictions}, {NAME: targets}, extra_data)


@pytest.fixture
def expected(case):
    return masked_dos(*case, **OPTIONS)


@pytest.mark.parametrize("pad_target", [True, False])
@pytest.mark.parametrize("pad_mask", [True, False])
@pytest.mark.parametrize("mask_dtype", [torch.bool, torch.float64, torch.float32])
def test_padded_and_bare_data(case, expected, pad_target, pad_mask, mask_dtype):
    p, t, m = case
    m = m.to(mask_dtype)
    value = compute(
        tensor_map(p),
        tensor_map(pad(t) if pad_target else t),
        tensor_map(pad(m, False) if pad_mask else m),
    )
    torch.testing.assert_close(value, expected.mean())


@pytest.mark.parametrize("junk", [7.0, float("nan")])
def test_padding_is_ignored(case, expected, junk):
    p, t, m = case
    value = compute(tensor_map(p), tensor_map(pad(t, junk)), tensor_map(pad(m, True)))
    torch.testing.assert_close(value, expected.mean())


def test_nan_is_a_mask(case, expected):
    p, t, m = case
    value = compute(tensor_map(p), tensor_map(t.masked_fill(~m, float("nan"))))
    torch.testing.assert_close(value, expected.mean())


def test_mask_and_nan_must_both_allow_a_point(case):
    p, t, m = case
    gaps = torch.zeros_like(m)
    gaps[:, 5:9] = True
    value = compute(
        tensor_map(p), tensor_map(t.masked_fill(gaps, float("nan"))), tensor_map(m)
    )
    torch.testing.assert_close(value, masked_dos(p, t, m & ~gaps, **OPTIONS).mean())


def test_reductions(case, expected):
    maps = [tensor_map(x) for x in case]
    torch.testing.assert_close(compute(*maps, reduction="sum"), expected.sum())
    torch.testing.assert_close(compute(*maps, reduction="none"), expected)
    assert compute(*maps).shape == ()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_all_blocks_count(reduction):
    cases = [make_case(1, samples=3), make_case(2, samples=5, points=20)]
    maps = [tensor_map(*tensors) for tensors in zip(*cases, strict=True)]
    losses = torch.cat([masked_dos(*tensors, **OPTIONS) for tensors in cases])
    reduced = {"mean": losses.mean(), "sum": losses.sum(), "none": losses}
    torch.testing.assert_close(compute(*maps, reduction=reduction), reduced[reduction])


def test_blocks_are_matched_by_key():
    cases = [make_case(1), make_case(2, points=20)]
    p, t, m = (tensor_map(*tensors) for tensors in zip(*cases, strict=True))
    backwards = Labels(["key"], torch.tensor([[1], [0]]))
    t = TensorMap(backwards, [t.block(1).copy(), t.block(0).copy()])
    losses = torch.cat([masked_dos(*tensors, **OPTIONS) for tensors in cases])
    torch.testing.assert_close(compute(p, t, m), losses.mean())


def test_components_share_one_shift():
    tensors = make_case(3, components=2)
    value = compute(*(tensor_map(x) for x in tensors))
    torch.testing.assert_close(value, masked_dos(*tensors, **OPTIONS).mean())


def test_per_atom_samples(case, expected):
    value = compute(*(tensor_map(x, atoms=True) for x in case), reduction="none")
    torch.testing.assert_close(value, expected)


def test_targets_follow_the_dtype_of_the_prediction(case, expected):
    p, t, m = case
    value = compute(tensor_map(p.float()), tensor_map(t), tensor_map(m))
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.double(), expected.mean(), rtol=1e-4, atol=0)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_no_samples_is_zero(case, reduction):
    p, t, m = (x[:0] for x in case)
    p.requires_grad_()
    value = compute(*(tensor_map(x) for x in (p, t, m)), reduction=reduction)
    value.backward()
    assert value == 0


def test_gradient_reaches_the_prediction(case):
    p, t, m = case
    p.requires_grad_()
    compute(tensor_map(p), tensor_map(t), tensor_map(m)).backward()
    (expected,) = torch.autograd.grad(masked_dos(p, t, m, **OPTIONS).mean(), p)
    torch.testing.assert_close(p.grad, expected)


def test_through_metatrain(case, expected):
    p, t, m = (tensor_map(x) for x in case)
    loss = create_loss(
        "masked_dos",
        name=NAME,
        gradient=None,
        weight=0.5,
        reduction="mean",
        extra_targets=EXTRA,
        **HYPERS,
    )
    assert isinstance(loss, MaskedDOSLoss) and isinstance(loss, LossInterface)
    assert loss.weight == 0.5
    value = loss({NAME: p}, {NAME: t}, {f"{NAME}_mask": m})
    torch.testing.assert_close(value, expected.mean())


def test_in_metatrains_aggregator(case, expected):
    class Info:
        layout = tensor_map(torch.zeros(0, 42))

    section = {
        "type": "masked_dos",
        "weight": 3.0,
        "reduction": "sum",
        "gradients": {},
        "extra_targets": EXTRA,
        **HYPERS,
    }
    aggregator = LossAggregator({NAME: Info}, {NAME: section})
    p, t, m = (tensor_map(x) for x in case)
    value = aggregator({NAME: p}, {NAME: t}, {f"{NAME}_mask": m})
    torch.testing.assert_close(value, 3 * expected.sum())


class TestSpinChannels:
    @pytest.mark.parametrize("padded", [True, False])
    def test_is_the_loss_of_components(self, padded):
        """Nothing is differentiated or integrated from one channel to the next."""
        p, t, m = make_case(3, components=2)
        expected = masked_dos(p, t, m, **OPTIONS).mean()
        sides = [p, *((pad(t), pad(m, False)) if padded else (t, m))]
        sides = [tensor_map(values.flatten(1)) for values in sides]
        torch.testing.assert_close(compute(*sides, spin_channels=2), expected)

    def test_keeps_the_exchange_splitting(self):
        """A splitting that is wrong costs, and nothing if each channel is aligned."""
        x = torch.arange(100, dtype=torch.float64)

        def channels(first, second):
            peaks = [torch.exp(-0.5 * ((x - c) / 3) ** 2) for c in (first, second)]
            return torch.cat(peaks)[None]

        t = channels(40, 60).unflatten(1, (2, -1))[..., 20:].flatten(1)  # at 20 and 40
        options = {"extra_targets": 20, "int_weight": 0.0, "grad_weight": 0.0}

        def loss(p, t, **more):
            return compute(tensor_map(p), tensor_map(t), **options, **more).item()

        # moved as a whole by 7 columns, and with a splitting that is 6 too small
        right, wrong = channels(27, 47), channels(30, 44)
        assert loss(right, t, spin_channels=2) < 1e-12
        assert loss(wrong, t, spin_channels=2) > 0.1
        for half in range(2):
            p, each = (values.unflatten(1, (2, -1))[:, half] for values in (wrong, t))
            assert loss(p, each) < 1e-12

    @pytest.mark.parametrize("role", ["prediction", "targets"])
    def test_columns_must_be_divisible(self, role):
        p, t, _ = make_case(3, components=2)
        p, t = p.flatten(1), t.flatten(1)
        if role == "prediction":
            p = p[:, 1:]
        else:
            t = t[:, 1:]
        message = f"the {role} has .* columns, but with 2 spin_channels"
        with pytest.raises(ValueError, match=message):
            compute(tensor_map(p), tensor_map(t), spin_channels=2)

    @pytest.mark.parametrize("channels", [0, 3, 1.5, "two"])
    def test_number(self, channels):
        with pytest.raises(ValueError, match="'spin_channels' must be 1 or 2, got"):
            MaskedDOSLoss(NAME, spin_channels=channels)


class TestErrors:
    def test_missing_target(self, case):
        p, t, _ = (tensor_map(x) for x in case)
        loss = MaskedDOSLoss(NAME, extra_targets=EXTRA)
        with pytest.raises(
            ValueError, match=r"predictions: expected .*'mtt::dos', got \['energy'\]"
        ):
            loss({"energy": p}, {NAME: t})
        with pytest.raises(
            ValueError, match=r"targets: expected .*'mtt::dos', got \[\]"
        ):
            loss({NAME: p}, {})

    @pytest.mark.parametrize("width", [1, 29, 31, 41, 43])
    @pytest.mark.parametrize("role", ["targets", "mask"])
    def test_widths(self, case, width, role):
        p, t, m = case
        data = {"targets": t, "mask": m}
        data[role] = torch.zeros(len(p), width, dtype=data[role].dtype)
        message = (
            f"'mtt::dos': the prediction has 42 columns, the {role} {width}, "
            "and extra_targets is 12"
        )
        with pytest.raises(ValueError, match=message):
            compute(
                tensor_map(p), tensor_map(data["targets"]), tensor_map(data["mask"])
            )

    @pytest.mark.parametrize("extra", [42, 100])
    def test_extra_targets_as_wide_as_the_prediction(self, case, extra):
        maps = [tensor_map(x) for x in case]
        with pytest.raises(ValueError, match=f"extra_targets is {extra}"):
            compute(*maps, extra_targets=extra)

    @pytest.mark.parametrize("role", ["targets", "mask"])
    def test_one_row_does_not_broadcast(self, case, role):
        p, t, m = case
        data = {"targets": t, "mask": m}
        data[role] = data[role][:1]
        with pytest.raises(ValueError, match=rf"and the {role} \(1, 30\), but samples"):
            compute(
                tensor_map(p), tensor_map(data["targets"]), tensor_map(data["mask"])
            )

    def test_different_keys(self, case):
        p, t, m = case
        with pytest.raises(ValueError, match="targets: expected the keys of the pred"):
            compute(tensor_map(p, p), tensor_map(t), tensor_map(m, m))

    def test_keys_of_another_name(self, case):
        p, t, m = (tensor_map(x, x) for x in case)
        renamed = TensorMap(
            Labels("other", t.keys.values), [b.copy() for b in t.blocks()]
        )
        with pytest.raises(ValueError, match="targets: expected the keys of the pred"):
            compute(p, renamed, m)

    def test_single_blocks_belong_together(self, case):
        p, t, m = (tensor_map(x) for x in case)
        renamed = TensorMap(Labels("other", t.keys.values), [t.block().copy()])
        assert torch.equal(compute(p, renamed, m), compute(p, t, m))

    def test_error_inside_the_loss(self, case):
        """It names the target and its samples."""
        p, t, m = case
        message = r"'mtt::dos': no loss for the samples \[\[0\], \[1\].*\(system\): "
        with pytest.raises(TypeError, match=f"{message}.*floating point"):
            compute(tensor_map(p.long()), tensor_map(pad(t)), tensor_map(pad(m)))

    def test_target_with_gradients(self, case):
        p, t, m = (tensor_map(x) for x in case)
        block = t.block().copy()
        gradient = TensorBlock(
            values=torch.zeros(1, 30, dtype=torch.float64),
            samples=Labels(["sample"], torch.tensor([[0]])),
            components=[],
            properties=block.properties,
        )
        block.add_gradient("positions", gradient)
        t = TensorMap(t.keys, [block])
        with pytest.raises(ValueError, match=r"got gradients with.*'positions'"):
            compute(p, t, m)

    def test_loss_for_a_gradient(self):
        with pytest.raises(ValueError, match="gradient: expected None for target"):
            MaskedDOSLoss(NAME, gradient="positions")


class TestShiftPerStructure:
    SIZES = (1, 3, 2)

    def atoms(self, values):
        """Make a TensorMap with rows for the atoms of three structures."""
        labels = [[s, i] for s, size in enumerate(self.SIZES) for i in range(size)]
        block = TensorBlock(
            values=values,
            samples=Labels(["system", "atom"], torch.tensor(labels)),
            components=[],
            properties=Labels.range("energy", values.shape[-1]),
        )
        return TensorMap(Labels.range("_", 1), [block])

    @pytest.mark.parametrize("padded", [True, False])
    @pytest.mark.parametrize("per_structure", ["square", "root", "relative_root"])
    def test_is_the_mean_over_atoms_at_one_shift(self, padded, per_structure):
        p, t, m = make_case(5, samples=6)
        sides = [p, *((pad(t, 3.0), pad(m, True)) if padded else (t, m))]
        found = compute(
            *map(self.atoms, sides),
            shift_per="structure",
            reduction="none",
            per_structure=per_structure,
        )
        rows = np.split(np.arange(6), np.cumsum(self.SIZES)[:-1])
        wanted = []
        for atoms in rows:
            one = [x[atoms].numpy() for x in (p, t, m)]
            loss = reference.masked_dos(*one, **HYPERS) / len(atoms)
            size = 1.0
            if per_structure == "relative_root":
                squares = np.where(one[2], one[1], 0) ** 2
                spacing = HYPERS["grid_spacing"]
                size = np.trapezoid(squares, dx=spacing).sum() / len(atoms)
            wanted.append(
                loss
                if per_structure == "square"
                else np.sqrt(loss / size + 1e-6) - np.sqrt(1e-6)
            )
        # double precision of sums of 100 numbers
        np.testing.assert_allclose(found, wanted, rtol=1e-8)
        each = compute(*map(self.atoms, sides), reduction="none")
        torch.testing.assert_close(each, masked_dos(p, t, m, **OPTIONS))
        assert not np.allclose(found[1], each[1:4].mean(), rtol=0.01)

    def test_gradient(self):
        p, t, m = make_case(5, samples=6)
        p.requires_grad_()
        maps = [self.atoms(x) for x in (t, m)]

        def loss(p):
            return compute(self.atoms(p), *maps, shift_per="structure")

        # The shift does not change within the step of the check.
        assert torch.autograd.gradcheck(loss, p)

    def test_structures_are_as_they_were(self, case, expected):
        maps = [tensor_map(x) for x in case]
        found = compute(*maps, shift_per="structure", reduction="none")
        torch.testing.assert_close(found, expected)

    def test_with_spin_channels(self):
        p, t, m = make_case(5, samples=6, components=2)
        found = compute(
            *(self.atoms(x.flatten(1)) for x in (p, t, m)),
            shift_per="structure",
            spin_channels=2,
            reduction="none",
        )
        one = [x[1:4].flatten(0, 1).numpy() for x in (p, t, m)]
        wanted = reference.masked_dos(*one, **HYPERS) / 3
        assert found[1].item() == pytest.approx(wanted, rel=1e-8)

    def test_keeps_atoms_apart(self):
        """An atom whose states are elsewhere costs, unless it slides on its own."""
        x = torch.arange(100, dtype=torch.float64)

        def rows(*centres):
            return torch.stack([torch.exp(-0.5 * ((x - c) / 3) ** 2) for c in centres])

        t = rows(*[40] * 6)[:, 20:]
        options = {"extra_targets": 20, "int_weight": 0.0, "grad_weight": 0.0}
        p = rows(35, 30, 30, 30, 25, 33)
        found = compute(
            self.atoms(p),
            self.atoms(t),
            shift_per="structure",
            reduction="none",
            **options,
        )
        assert found[0] < 1e-12 and found[1] < 1e-12 and found[2] > 0.01
        assert compute(self.atoms(p), self.atoms(t), **options) < 1e-12

    def test_values(self):
        message = "'shift_per' must be 'sample' or 'structure', got 'atom'"
        with pytest.raises(ValueError, match=message):
            MaskedDOSLoss(NAME, shift_per="atom")
