"""Train a student or a head; an interrupted run goes on, and ends where an undisturbed one would. Needs torch."""

import contextlib
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from core.types import Progress, ProgressCallback, StopRequested, Vectors
from encoders.distillation import Inputs, Taught, loss
from encoders.plan import Numbers, Plan, Split
from encoders.retrieval import likelihood, ranks, sample

_FIRST_SCALE, _MOST_SCALE = 10.0, 100.0
"""What cosines are multiplied with before the softmax: one over the temperature."""
_WARM = 0.1
_HEADER = "glimpse"


class Run(NamedTuple):
    """How a run is called and seeded, where its checkpoint lies, and what it is a run of.

    fingerprint: changes with the examples and the plan, so that another run's checkpoint is not taken up.
    until: the epoch that it ends with, None to end by the held-out rows.
    """

    stage: str
    seed: int
    checkpoint: Path
    fingerprint: str
    progress: ProgressCallback
    stop: StopRequested
    until: int | None = None


@dataclass
class _State:
    """Where a run stands: epochs done, the best of them, its likelihood, R@10, and the loss of the last."""

    epoch: int = 0
    best: int = 0
    likelihood: float = -math.inf
    recall: float = 0.0
    loss: float = math.nan
    kept: dict[str, Tensor] = field(default_factory=dict)


def train(model: nn.Module, inputs: Inputs, taught: Taught, split: Split, plan: Plan, run: Run) -> int | None:
    """Train the model in place and leave it as it was in its best epoch, whose number is returned.

    None where `run.stop` said so: the epochs done are in the checkpoint, and the same call goes on from there. On a
    CPU the result depends on the arguments alone. Needs at least two groups to learn from.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    scale = nn.Parameter(torch.tensor(math.log(_FIRST_SCALE), device=device))
    parameters = [*model.parameters(), scale]
    optimizer = torch.optim.AdamW(parameters, plan.rate, weight_decay=plan.decay)
    state = _restore(run, model, scale, optimizer) or _State()
    while state.epoch < (run.until or plan.epochs) and state.epoch - state.best < plan.patience:
        total = _epoch(model, scale, optimizer, inputs, taught, split.train, plan, run, state)
        if total is None:
            return None
        state.loss = total
        state.epoch += 1
        held_out = split.held_out[sample(len(split.held_out))]
        score = float(state.epoch)  # without held-out rows, the last epoch is the best
        if len(held_out):
            rows, targets, groups = encode(model, inputs, held_out), taught.targets[held_out], taught.groups[held_out]
            score = likelihood(rows, targets, groups)
            state.recall = float((ranks(rows, targets, groups) <= 10).mean())
        if score > state.likelihood:
            state.best, state.likelihood = state.epoch, score
            state.kept = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        _save(run, model, scale, optimizer, state)
    model.load_state_dict(state.kept)
    return state.best


def encode(model: nn.Module, inputs: Inputs, numbers: Numbers, batch: int = 64) -> Vectors:
    """Return the model's unit rows for these numbers, shape (n, dim)."""
    model.eval()
    device = next(model.parameters()).device
    with torch.inference_mode(), _halves(device):
        parts = [
            model(inputs(numbers[start : start + batch], None).to(device))[0].float().cpu().numpy()
            for start in range(0, len(numbers), batch)
        ]
    return np.concatenate(parts)


def _epoch(
    model: nn.Module,
    scale: nn.Parameter,
    optimizer: torch.optim.Optimizer,
    inputs: Inputs,
    taught: Taught,
    numbers: Numbers,
    plan: Plan,
    run: Run,
    state: _State,
) -> float | None:
    """Learn from each row, in an order that seed and epoch give; return the mean loss, None if stopped."""
    model.train()
    device = scale.device
    tags = torch.from_numpy(taught.tags).to(device)
    steps = max(plan.steps, len(numbers) // plan.batch)
    draw = np.random.default_rng((run.seed, state.epoch))
    order = np.concatenate([draw.permutation(numbers) for _ in range(-(-steps * plan.batch // len(numbers)))])
    generator = torch.Generator().manual_seed(run.seed * 100_003 + state.epoch)
    losses = torch.zeros((), device=device)
    for step in range(steps):
        if run.stop():
            return None
        run.progress(Progress(run.stage, state.epoch * steps + step, plan.epochs * steps, _detail(state)))
        chosen = order[step * plan.batch : (step + 1) * plan.batch]
        targets = torch.from_numpy(taught.targets[chosen]).to(device)
        groups = torch.from_numpy(taught.groups[chosen]).to(device)
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * _pace((state.epoch * steps + step) / (plan.epochs * steps))
        with _halves(device):
            rows, _ = model(inputs(chosen, generator).to(device))
        found = loss(rows.float(), targets, groups, tags, scale.exp().clamp(max=_MOST_SCALE))
        optimizer.zero_grad()
        found.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses += found.detach()
    return float(losses) / steps


def _detail(state: _State) -> str:
    if state.epoch == 0:
        return ""
    held_out = f", held-out R@10 {state.recall:.2f}" if math.isfinite(state.likelihood) and state.recall else ""
    return f"loss {state.loss:.2f}{held_out}"


def _pace(done: float) -> float:
    """Return the share of the full rate after this share of all steps."""
    return min(done / _WARM, 0.5 * (1 + math.cos(math.pi * max(0.0, done - _WARM) / (1 - _WARM)))) + 1e-3


def _halves(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Compute in bf16 on a GPU."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else contextlib.nullcontext()


def _save(run: Run, model: nn.Module, scale: Tensor, optimizer: torch.optim.Optimizer, state: _State) -> None:
    """Write the checkpoint in one step."""
    tensors = dict(_named(model, state.kept, scale, optimizer))
    header = {"fingerprint": run.fingerprint, "epoch": state.epoch, "best": state.best, "recall": state.recall,
              "likelihood": state.likelihood, "loss": state.loss}  # fmt: skip
    scratch = run.checkpoint.with_suffix(".new")
    run.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(tensors, scratch, {_HEADER: json.dumps(header)})
    os.replace(scratch, run.checkpoint)


def _named(
    model: nn.Module, kept: dict[str, Tensor], scale: Tensor, optimizer: torch.optim.Optimizer
) -> Iterator[tuple[str, Tensor]]:
    for name, value in model.state_dict().items():
        yield f"model.{name}", value.detach().cpu().contiguous()
    for name, value in kept.items():
        yield f"kept.{name}", value.contiguous()
    yield "scale", scale.detach().cpu()
    for number, entries in optimizer.state_dict()["state"].items():
        for name, value in entries.items():
            yield f"optimizer.{number}.{name}", value.detach().cpu().contiguous()


def _restore(run: Run, model: nn.Module, scale: nn.Parameter, optimizer: torch.optim.Optimizer) -> _State | None:
    """Take up this run's checkpoint; None where there is none, or it is damaged, or another run's."""
    try:
        with safetensors.safe_open(run.checkpoint, framework="pt") as file:
            header = json.loads(file.metadata()[_HEADER])
            if header.pop("fingerprint") != run.fingerprint:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
        state = _State(**header, kept=_under("kept.", tensors))
        entries: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("optimizer.", tensors).items():
            number, _, key = name.partition(".")
            entries.setdefault(int(number), {})[key] = value
        model.load_state_dict(_under("model.", tensors))
        optimizer.load_state_dict({"state": entries, "param_groups": optimizer.state_dict()["param_groups"]})
        scale.data.copy_(tensors["scale"])
        return state
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, safetensors.SafetensorError):
        return None


def _under(start: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
