"""Two reports on the same structures."""

import ase
import numpy as np
import pytest
from helpers.cases import make_case

from metatrain_dos.data.samples import Sample
from metatrain_dos.models.comparison import Batch, RowId
from metatrain_dos.models.earlier_report import EarlierReport
from metatrain_dos.models.error_table import ErrorTable
from metatrain_dos.models.errors import align


def table_of(rows, factor=1.0, symbol="Si"):
    p, t, m = make_case(0, samples=6)
    m[4] = False
    batch = Batch(
        [RowId("data", i) for i in rows],
        [Sample(i, ase.Atoms(symbol), t[i : i + 1].numpy(), None) for i in rows],
        align(p[rows] * factor, t[rows], m[rows], grid_spacing=0.1),
        [None] * len(rows),
        np.full(len(rows), np.nan),
    )
    table = ErrorTable()
    table.add(batch)
    return table


@pytest.fixture
def report(tmp_path):
    table_of([0, 1, 2, 4, 5], 2.0).write_json(
        tmp_path / "errors.json", {"model": "other.pt"}
    )
    return tmp_path


def test_rows_are_matched(report):
    table = table_of([5, 3, 1, 4])
    earlier = EarlierReport(report, table)
    assert (earlier.model, earlier.matched) == ("other.pt", 3)
    expected = table_of([0, 1, 2, 4, 5], 2.0)["relative_rmse"]
    np.testing.assert_allclose(
        earlier.before("relative_rmse"),
        [expected[4], np.nan, expected[1], np.nan],
        rtol=1e-5,  # six digits are written
    )
    change = earlier.changes()["relative_rmse"]
    now = table["relative_rmse"][[0, 2]]
    assert change.now == pytest.approx(np.median(now))
    assert change.before == pytest.approx(np.median(expected[[4, 1]]), rel=1e-5)
    assert change.smaller == np.mean(now < expected[[4, 1]])
    assert "shift" not in earlier.changes()
    assert "loss" not in earlier.changes()


def test_mistakes(report, tmp_path):
    table = table_of([0, 1])
    with pytest.raises(ValueError, match=r"folder of an older report, got .*nowhere"):
        EarlierReport(tmp_path / "nowhere", table)
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ValueError, match=r"folder of an older report, got .*list"):
        EarlierReport(tmp_path / "list.json", table)
    for other in (table_of([3]), table_of([0], symbol="Ge")):
        with pytest.raises(ValueError, match="a report on the same structures"):
            EarlierReport(report, other)
