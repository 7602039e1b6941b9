"""Divergence: named at its step, never written, and the last good state is there to go on from."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bench.context import StageContext
from bench.errors import StageError
from bench.loop import seed_all, train_loop


class Regression:
    """Least squares by gradient descent, whose rate jumps at ``jump_at`` to one that diverges."""

    def __init__(self, rate: float = 0.05, jump_at: int | None = None, jump_to: float = 50.0) -> None:
        seed_all(0)
        self.net = nn.Linear(4, 1)
        self.optimiser = torch.optim.SGD(self.net.parameters(), lr=rate, momentum=0.5)
        self.rate, self.jump_at, self.jump_to = rate, jump_at, jump_to
        self.losses: dict[int, float] = {}

    def step(self, i: int, rng: torch.Generator) -> dict[str, torch.Tensor]:
        wild = self.jump_at is not None and i >= self.jump_at
        self.optimiser.param_groups[0]["lr"] = self.jump_to if wild else self.rate
        x = torch.randn(16, 4, generator=rng)
        y = x.sum(1, keepdim=True) + torch.randn(16, 1, generator=rng)
        loss = (self.net(x) - y).square().mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.losses[i + 1] = float(loss)
        return {"loss": loss.detach()}

    def parts(self) -> dict[str, Any]:
        return {"net": self.net, "optimiser": self.optimiser}


@pytest.fixture
def copies_at_every_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps here take microseconds, of which copies would be too large a share."""
    monkeypatch.setattr("bench.training.divergence.COPY_SHARE", float("inf"))


def stopped(job: Regression, ctx: StageContext, steps: int = 1000) -> str:
    with pytest.raises(StageError, match="training diverged") as caught:
        train_loop(ctx, steps, job.parts(), job.step)
    return str(caught.value)


def test_an_exploding_loss_is_named_at_its_first_step_between_two_checks(tmp_path: Path) -> None:
    job = Regression(jump_at=212)
    text = stopped(job, StageContext(0, tmp_path))
    settled = sorted(job.losses[s] for s in (50, 100, 150, 200))
    limit = 1e3 * max(1.0, (settled[1] + settled[2]) / 2)
    first = next(s for s, loss in job.losses.items() if not loss <= limit)
    assert f"at step {first};" in text
    assert "lower the learning rate" in text


@pytest.mark.usefixtures("copies_at_every_check")
def test_a_run_goes_on_from_the_last_good_state_with_a_lower_rate(tmp_path: Path) -> None:
    text = stopped(Regression(jump_at=212), StageContext(0, tmp_path))
    assert f"the last good state, after step 200, is kept in {tmp_path}" in text
    calm, ctx = Regression(), StageContext(0, tmp_path)
    train_loop(ctx, 1000, calm.parts(), calm.step)
    assert ctx.resumed_at == 200
    whole = Regression()
    train_loop(StageContext(0, tmp_path / "whole"), 1000, whole.parts(), whole.step)
    assert torch.equal(calm.net.weight, whole.net.weight)


def test_a_checkpoint_that_is_due_is_not_taken_of_a_diverged_state(tmp_path: Path) -> None:
    job = Regression(jump_at=212, jump_to=float("nan"))
    stopped(job, ctx := StageContext(0, tmp_path, checkpoint_seconds=0))
    found = ctx.latest()
    assert found is not None
    assert found[0] == 212  # step 213 has a finite loss, and parameters that are not
    assert torch.isfinite(found[1]["parts"]["net"]["weight"]).all()


@pytest.mark.usefixtures("copies_at_every_check")
def test_the_newer_of_checkpoint_and_copy_is_left(tmp_path: Path) -> None:
    class OnceAt230(StageContext):
        def checkpoint(self, step: int, state: Any) -> None:
            if step == 230:
                self.keep(step, state)

    text = stopped(Regression(jump_at=240), OnceAt230(0, tmp_path))
    assert "after step 230" in text
    (tmp_path / "b").mkdir()
    text = stopped(Regression(jump_at=260), OnceAt230(0, tmp_path / "b"))
    assert "after step 250" in text


def test_losses_that_grow_as_those_of_critics_do_are_no_divergence(tmp_path: Path) -> None:
    def step(i: int, rng: torch.Generator) -> dict[str, torch.Tensor]:
        return {"loss": torch.tensor(-0.01 * 1.01**i), "distance": torch.tensor(10.0**i if i < 30 else 0.0)}

    train_loop(StageContext(0, tmp_path), 1000, {}, step)


@pytest.mark.speed
def test_watching_costs_less_than_a_percent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the same loop with a watch that does nothing: 2.4 M parameters under AdamW, 30 ms a step."""
    net = nn.Sequential(nn.Conv2d(3, 128, 3, padding=1), nn.SiLU(), *(nn.Conv2d(128, 128, 3) for _ in range(8)))
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-4)

    def step(i: int, rng: torch.Generator) -> dict[str, torch.Tensor]:
        loss = net(torch.randn(2, 3, 20, 20, generator=rng)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return {"loss": loss.detach()}

    def seconds(name: str) -> float:
        start = time.process_time()
        train_loop(StageContext(0, tmp_path / name), 400, {"net": net, "optimiser": optimiser}, step)
        return time.process_time() - start

    seconds("warm")
    spent = 0.0

    def timed(work: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any) -> Any:
            nonlocal spent
            start = time.process_time()
            try:
                return work(*args)
            finally:
                spent += time.process_time() - start

        return wrapper

    for name in ("see", "check", "checkpoint"):
        monkeypatch.setattr(f"bench.training.divergence.Watch.{name}", timed(getattr(_watch(), name)))
    total = seconds("watched")
    print(f"watching: {spent / total:.3%} of {total:.1f} s")
    assert spent / total < 0.01


def _watch() -> Any:
    from bench.training.divergence import Watch

    return Watch
