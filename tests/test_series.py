"""Spirals, and series that are observed now and then."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from scipy.integrate import solve_ivp

from regrun.contracts.output import Output
from regrun.data import Batch, ETTh1, IrregularSinusoids, ObservedSeries, PhysioNet2012, Regression, Spiral
from regrun.data.physionet2012 import VARIABLES
from regrun.data.series import drop_times, read_table

needs_data = pytest.mark.skipif(
    "REGRUN_DATA" not in os.environ, reason="REGRUN_DATA does not say where the real data lie"
)


def test_the_deterministic_spiral_against_scipy() -> None:
    data = Spiral(samples=4, points=6, span=1.5, noise=0.0)
    splits = data.load(Path(), 3)
    assert splits.train.x.shape == (2, 2)
    assert splits.train.x[0].tolist() == [2, 0]
    for samples in (splits.train, splits.test):
        for start, states in zip(samples.x, samples.y, strict=True):
            solved = solve_ivp(
                lambda t, u: [-0.1 * u[0] ** 3 + 2 * u[1] ** 3, -2 * u[0] ** 3 - 0.1 * u[1] ** 3],
                (0, 1.5),
                start.double().numpy(),
                t_eval=data.inputs.times[1:],
                rtol=1e-11,
                atol=1e-11,
            )
            torch.testing.assert_close(states, torch.from_numpy(solved.y.T).float(), atol=1e-5, rtol=0)
    assert not torch.equal(splits.test.x, splits.train.x)


def test_the_moments_of_the_noisy_spiral_against_another_simulation() -> None:
    data = Spiral(samples=1, points=4, noise=0.2, paths=4000)
    moments = data.load(Path(), 0).train.y[0]
    generator = torch.Generator().manual_seed(1)
    x = torch.tensor([[2.0, 0.0]]).expand(4000, 2)
    h, expected = 1 / 2000, []
    for k in range(2000):
        a, b = (x**3).unbind(1)
        drift = torch.stack([-0.1 * a + 2 * b, -2 * a - 0.1 * b], 1)
        x = x + drift * h + 0.2 * x * math.sqrt(h) * torch.randn(x.shape, generator=generator)
        if (k + 1) % 500 == 0:
            expected.append(torch.cat([x.mean(0), x.var(0)]))
    deviation = torch.stack(expected)[:, 2:].sqrt()
    error = (moments - torch.stack(expected)).abs()
    assert (error[:, :2] < 6 * deviation / math.sqrt(4000)).all()
    assert (error[:, 2:] / torch.stack(expected)[:, 2:] < 0.2).all()
    other = data.load(Path(), 0)
    assert not torch.equal(other.train.y, other.test.y)


def test_sinusoids_are_observed_where_they_say() -> None:
    data = IrregularSinusoids(samples=400, test_samples=50, points=20, observed=0.3, noise=0.0)
    splits = data.load(Path(), 0)
    values, observed = splits.train.x.chunk(2, -1)
    assert set(observed.unique().tolist()) == {0.0, 1.0}
    assert (values[observed == 0] == 0).all()
    assert float(observed.mean()) == pytest.approx(0.3, abs=0.02)
    assert int(observed.sum(1).min()) >= 2
    assert float(values[observed == 1].abs().max()) <= 1
    assert splits.sizes == {"train samples": 400, "test samples": 50}
    torch.testing.assert_close(data.load(Path(), 0).train.x, splits.train.x, atol=0, rtol=0)
    assert not torch.equal(data.load(Path(), 1).train.x, splits.train.x)


def test_two_times_are_always_observed() -> None:
    kept = drop_times(torch.Size((200, 10, 3)), 0.01, torch.Generator().manual_seed(0))
    assert (kept[..., 0].sum(1) >= 2).all()
    assert (kept == kept[..., :1]).all()


@needs_data
def test_windows_of_the_real_temperatures() -> None:
    folder = Path(os.environ["REGRUN_DATA"])
    data = ETTh1(samples=5, test_samples=5, hours=6, observed=0.5)
    splits = data.load(folder, 0)
    assert splits.train.x.shape == (5, 6, 14)
    table = torch.from_numpy(read_table(folder / "ETTh1.csv")).float()
    cut = int(0.7 * len(table))
    scaled = (table - table[:cut].mean(0)) / table[:cut].std(0)
    for samples, rows in ((splits.train, scaled[:cut]), (splits.test, scaled[cut:])):
        values, observed = samples.x.chunk(2, -1)
        windows = rows.unfold(0, 6, 1).transpose(1, 2)
        for value, mask in zip(values, observed, strict=True):
            assert ((windows * mask - value).abs().flatten(1).max(1).values < 1e-5).any()


def test_damaged_and_missing_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no .*ETTh1\.csv"):
        ETTh1().load(tmp_path, 0)
    (tmp_path / "ETTh1.csv").write_text("date,a,b,c,d,e,f,g\n2016,1,2,3,4,5,6,7\n2017,1,2,x,4,5,6,7\n")
    with pytest.raises(ValueError, match="line 3 has something else than seven numbers"):
        ETTh1().load(tmp_path, 0)
    rows = "".join(f"2016,{k},2,3,4,5,6,7\n" for k in range(20))
    (tmp_path / "ETTh1.csv").write_text("date,a,b,c,d,e,f,g\n" + rows)
    with pytest.raises(ValueError, match="10 windows of 6 hours are more than the 9 there are"):
        ETTh1(samples=10, hours=6).load(tmp_path, 0)


def write_patients(folder: Path) -> None:
    """Records in the challenge's format."""
    part = folder / "physionet2012" / "set-a"
    part.mkdir(parents=True)
    head = "Time,Parameter,Value\n00:00,RecordID,{id}\n00:00,Age,54\n00:00,Weight,-1\n"
    (part / "1.txt").write_text(head.format(id=1) + "00:07,HR,60\n00:20,HR,70\n01:10,HR,90\n47:59,pH,7.4\n")
    (part / "2.txt").write_text(head.format(id=2) + "00:05,HR,80\n48:00,Temp,37\n10:00,Unheard,1\n")
    (part / "3.txt").write_text(head.format(id=3) + "03:00,HR,100\n03:00,pH,7.0\n")


def test_patients_are_read_rounded_and_scaled(tmp_path: Path) -> None:
    write_patients(tmp_path)
    data = PhysioNet2012(test_share=0.34, minutes=60)
    splits = data.load(tmp_path, 0)
    assert splits.sizes == {"train samples": 2, "test samples": 1}
    assert data.inputs.channels == len(VARIABLES) == len(set(VARIABLES)) == 37
    rows = torch.cat([splits.train.x, splits.test.x])
    assert rows.shape == (3, 49, 74)
    rate, acid = VARIABLES.index("HR"), VARIABLES.index("pH")
    observed = rows[..., 37:]
    first = next(row for row in rows if row[0, 37 + rate] and row[1, 37 + rate])
    assert observed.sum() == 3 + 2 + 2  # two rates of the first fall on one time; weights of -1 are unknown
    assert first[48, 37 + acid] == 1
    rates = splits.train.x[..., rate][splits.train.x[..., 37 + rate] == 1]
    assert float(rates.min()) == 0
    assert float(rates.max()) == 1


def test_a_later_value_at_the_same_time_replaces_an_earlier_one(tmp_path: Path) -> None:
    write_patients(tmp_path)
    found = PhysioNet2012(test_share=0.34).load(tmp_path, 0)
    rate = VARIABLES.index("HR")
    everything = torch.cat([found.train.x, found.test.x])
    counts = everything[..., 37 + rate].sum(1).sort().values.tolist()
    assert counts == [1, 1, 2]


def test_patients_missing_or_damaged_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no patients in .*physionet2012/set-a; unpack"):
        PhysioNet2012().load(tmp_path, 0)
    write_patients(tmp_path)
    (tmp_path / "physionet2012" / "set-a" / "4.txt").write_text("Time,Parameter,Value\n00:00,HR\n")
    with pytest.raises(ValueError, match=r"4\.txt: line 2 is not of the form"):
        PhysioNet2012().load(tmp_path, 0)


def test_the_likelihood_of_observed_values() -> None:
    values, prediction = torch.randn(2, 4, 5, 3, generator=torch.Generator().manual_seed(0)).unbind()
    observed = torch.rand(4, 5, 3, generator=torch.Generator().manual_seed(1)) < 0.5
    y = torch.cat([torch.where(observed, values, 0.0), observed.float()], -1)
    batch = Batch(y, y, torch.arange(4))
    criterion = ObservedSeries(sigma=0.3)
    scores = criterion.score(Output(prediction), batch)
    for k in range(4):
        mask = observed[k]
        spread = torch.full_like(values[k][mask], 0.3**2)
        expected = F.gaussian_nll_loss(prediction[k][mask], values[k][mask], spread)
        constant = 0.5 * math.log(0.3**2)
        assert float(scores["loss"][k]) == pytest.approx(float(expected) - constant, rel=1e-5)
    torch.testing.assert_close(criterion.loss(Output(prediction), batch), scores["loss"].mean().float())
    with pytest.raises(ValueError, match="sigma must be above 0"):
        ObservedSeries(0.0)


def test_the_scores_of_a_regression_average_to_its_loss() -> None:
    y, prediction = torch.randn(2, 4, 5, 3, generator=torch.Generator().manual_seed(0)).unbind()
    batch = Batch(y, y, torch.arange(4))
    scores = Regression().score(Output(prediction), batch)["loss"]
    assert scores.shape == (4,)
    expected = F.mse_loss(prediction, y)
    torch.testing.assert_close(scores.mean().float(), expected)
    torch.testing.assert_close(Regression().loss(Output(prediction), batch), expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Spiral(samples=3), "samples must be 1 or even"),
        (lambda: Spiral(paths=1), "paths at least 2"),
        (lambda: IrregularSinusoids(observed=1.0), "observed must lie strictly between"),
        (lambda: IrregularSinusoids(points=1), "points at least 2"),
        (lambda: ETTh1(hours=1), "hours at least 2"),
        (lambda: PhysioNet2012(minutes=7), "must divide 2880"),
        (lambda: PhysioNet2012(test_share=0.0), "test_share must lie strictly"),
    ],
)
def test_mistakes(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
