# SPDX-License-Identifier: GPL-3.0-or-later
"""Train any network of the catalogue by its recipe, on sequences, within a budget of epochs or minutes.

A killed training goes on where its checkpoint stands, and ends as it would have ended: weights, optimiser, schedule,
the order of samples and every process's random numbers are kept.
"""

from __future__ import annotations

import logging
import math
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..data.sequences import Sequence2D3D
from ..errors import Cancelled, InputError, SetupError
from ..evaluation import protocols
from ..lift.onnx_net import check_keypoints
from ..nets.catalogue import Entry, Recipe, Stage
from ..skeleton import Skeleton
from . import checkpoint as checkpoints
from . import optimisers
from .checkpoint import Checkpoint
from .processes import Processes, joined
from .record import Record
from .windows import Windows, fingerprint, fitting

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """Where and how long. What is trained, and how, stands in settings and recipe.

    Attributes:
        checkpoint: the file that is kept; metrics lie beside it (see `Record`).
        epochs: budget; the recipe's when None. Stages share it as they share the recipe's, and schedules are squeezed
            to it.
        minutes: budget of time instead, all that passes included but the last validation.
        resume: go on from the checkpoint if there is one. Without, an existing one is refused.
        device: "auto", "cpu" or "cuda".
        precision: "single", or mixed: "bf16", "fp16".
        compile: let torch compile the step.
        save_every_s: seconds between checkpoints; there is one after each epoch anyway.
        tell_every_s: seconds between lines of metrics.
        validation_frames: so many frames of the test sequences are lifted after each epoch.
    """

    checkpoint: Path
    epochs: float | None = None
    minutes: float | None = None
    resume: bool = False
    device: str = "auto"
    precision: Literal["single", "bf16", "fp16"] = "single"
    compile: bool = False
    save_every_s: float = 300.0
    tell_every_s: float = 30.0
    validation_frames: int = 3000


@dataclass
class Progress:
    """Where a training stands.

    Attributes:
        stage: from 1.
        epoch: finished in this stage.
        step: of the optimiser in this epoch.
        steps: of the optimiser in this stage.
        all_steps: of the optimiser in all stages.
        seconds: spent in all.
    """

    stage: int = 1
    epoch: int = 0
    step: int = 0
    steps: int = 0
    all_steps: int = 0
    seconds: float = 0.0


class Objective(nn.Module):
    """A network with its loss: the module whose `forward` is a step, for torch's compiler and several processes."""

    def __init__(self, net: nn.Module, entry: Entry, recipe: Recipe, stage: int) -> None:
        super().__init__()
        self.net, self.loss, self.recipe, self.stage = net, entry.loss, recipe, stage

    def forward(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Mapping[str, Tensor | float]]:
        return self.loss(self.net, batch, self.recipe, self.stage)


def train(
    entry: Entry,
    settings: Any,
    skeleton: Skeleton,
    sequences: Sequence[Sequence2D3D],
    run: Run,
    *,
    recipe: Recipe | None = None,
    test: Sequence[Sequence2D3D] = (),
    notes: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = print,
) -> nn.Module:
    """Train a network.

    Args:
        entry: which.
        settings: of the network (`Entry.settings_for`).
        skeleton: of keypoints and joints.
        sequences: to learn from.
        run: where and how long.
        recipe: how; the paper's when None.
        test: to measure on after each epoch; never looked at to choose anything.
        notes: kept with the weights: data, command.
        say: takes lines for the terminal.

    Returns:
        The network at rest; it is in the checkpoint too.

    Raises:
        InputError: sequences that do not fit, a checkpoint in the way or of another training, or a loss that is no
            number any more.
        Cancelled: stopped by the user or the system, after the step at hand; the checkpoint is up to date.
        SetupError: a device or a compiler that is not here.
    """
    with joined(run.device) as processes:
        trainer = _Trainer(entry, settings, skeleton, sequences, run, recipe or entry.recipe, test, notes, processes)
        with Record(run.checkpoint, say=say, speaks=processes.leads) as record, trainer.heeding_signals():
            return trainer.train(record)


@dataclass
class _Sums:
    """Means of what a loss tells, between two lines."""

    totals: dict[str, Tensor | float] = field(default_factory=dict)
    count: int = 0

    def add(self, parts: Mapping[str, Tensor | float]) -> None:
        for name, value in parts.items():
            self.totals[name] = self.totals.get(name, 0.0) + (value.detach() if isinstance(value, Tensor) else value)
        self.count += 1

    def take(self) -> dict[str, float]:
        means = {name: float(total) / max(self.count, 1) for name, total in self.totals.items()}
        self.totals, self.count = {}, 0
        return means


class _Trainer:
    def __init__(
        self,
        entry: Entry,
        settings: Any,
        skeleton: Skeleton,
        sequences: Sequence[Sequence2D3D],
        run: Run,
        recipe: Recipe,
        test: Sequence[Sequence2D3D],
        notes: Mapping[str, Any] | None,
        processes: Processes,
    ) -> None:
        self.entry, self.settings, self.skeleton, self.run, self.recipe = entry, settings, skeleton, run, recipe
        self.processes, self.device = processes, processes.device
        self.progress, self.spent_before, self.stopped = Progress(), 0.0, False
        torch.manual_seed(recipe.seed)
        self.net = entry.build(skeleton, settings)
        stored = self._stored()
        net: Any = self.net
        sequences = fitting(sequences, skeleton, net.receptive_field)
        self.test = _thinned(fitting(test, skeleton, 1), run.validation_frames) if test else []
        self.data = fingerprint(sequences)
        if net.needs_scores and all(np.all(sequence.scores == 1) for sequence in sequences):
            _log.warning("%s reads scores, but the keypoints have none: all count as seen.", entry.id)
        self.windows = Windows(
            sequences,
            net.receptive_field,
            net.target,
            scores=net.needs_scores,
            flips=recipe.flips,
            clip_frames=entry.frames(settings),
            device=self.device,
        )
        frames = sum(sequence.frame_count for sequence in sequences)
        self.notes = {
            **(notes or {}),
            "sequences": len(sequences),
            "frames": frames,
            "machine": f"{platform.machine()}, {self.device.type}, {processes.count} processes",
            "torch": str(torch.__version__),
            "training_commit": checkpoints.commit(),
        }
        self.batch = min(recipe.batch, self.windows.count)
        self.steps_in_epoch = self.windows.count // self.batch
        if stored is None:
            entry.prepare(self.net, self.windows.keypoints[..., :2].cpu(), self.windows.joints.cpu())
            self._enter(1)
        else:
            self._restore(stored)
        # Weights begin alike in all processes; what is drawn in training differs.
        if stored is None:
            torch.manual_seed(recipe.seed + 1000 * (processes.rank + 1))

    # Going on

    def _stored(self) -> Checkpoint | None:
        path = self.run.checkpoint
        if not path.exists():
            return None
        if not self.run.resume:
            raise InputError(
                f"{path} exists already.", "Add --resume to go on with it, or choose another name.", "output-taken"
            )
        stored = checkpoints.load(path)
        same = (
            stored.entry is self.entry
            and stored.settings == self.settings
            and stored.skeleton.joints == self.skeleton.joints
            and stored.recipe == self.recipe
        )
        if not same:
            raise InputError(
                f"{path} is of another training: {stored.entry.id} for {stored.skeleton.name} with its own settings.",
                "Give the same network, settings and recipe as when it began, or choose another name.",
                "checkpoint-other",
            )
        return stored

    def _restore(self, stored: Checkpoint) -> None:
        place = stored.progress
        if place["data"] != self.data or len(place["random"]) != self.processes.count:
            raise InputError(
                f"{self.run.checkpoint} was trained on other sequences or by another number of processes.",
                "Give the same data and processes as when it began.",
                "checkpoint-other",
            )
        self.progress = Progress(**place["at"])
        self.spent_before = self.progress.seconds
        for stage in range(1, self.progress.stage):
            self.net = self.entry.enter(self.net, stage)
        self._enter(self.progress.stage)
        self.net.load_state_dict(dict(stored.state))
        self.optimiser.load_state_dict(place["optimiser"])
        self.scaler.load_state_dict(place["scaler"])
        random = place["random"][self.processes.rank]
        torch.set_rng_state(random["cpu"])
        if self.device.type == "cuda" and random["cuda"] is not None:
            torch.cuda.set_rng_state(random["cuda"], self.device)

    def _save(self) -> None:
        self.progress.seconds = self._seconds()
        random = {
            "cpu": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }
        everyone = self.processes.gather(random)
        if not self.processes.leads:
            return
        progress = {
            "at": asdict(self.progress),
            "data": self.data,
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": everyone,
        }
        stage, notes = self.progress.stage, {**self.notes, "trained": asdict(self.progress)}
        state = self.net.state_dict()
        content = (self.entry, self.skeleton, self.settings, self.recipe, stage, state, progress, notes)
        checkpoints.save(self.run.checkpoint, Checkpoint(*content))

    # Stages

    @property
    def stage(self) -> Stage:
        return self.recipe.stages[self.progress.stage - 1]

    def _enter(self, number: int) -> None:
        """Make the network, the optimiser and the step of a stage."""
        self.net = self.entry.enter(self.net, number).to(self.device).train()
        self.optimiser = optimisers.make(self.recipe, self.net.parameters())
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.run.precision == "fp16")
        step: nn.Module = Objective(self.net, self.entry, self.recipe, number)
        step = self.processes.together(step)
        self.step = torch.compile(step) if self.run.compile else step

    def _epochs(self, stage: Stage) -> int:
        """Epochs of a stage within the budget."""
        if self.run.epochs is None:
            return stage.epochs
        return max(1, round(stage.epochs * self.run.epochs / self.recipe.epochs))

    def _done(self) -> float:
        """Share of the stage that is done, as all processes agree."""
        if self.run.minutes is None:
            return self.progress.steps / (self._epochs(self.stage) * self.steps_in_epoch)
        earlier = sum(stage.epochs for stage in self.recipe.stages[: self.progress.stage - 1]) / self.recipe.epochs
        share = self.stage.epochs / self.recipe.epochs
        return max(0.0, self.processes.agree((self._seconds() / (60 * self.run.minutes) - earlier) / share))

    def _all_done(self) -> float:
        earlier = sum(stage.epochs for stage in self.recipe.stages[: self.progress.stage - 1]) / self.recipe.epochs
        return earlier + min(self._done(), 1.0) * self.stage.epochs / self.recipe.epochs

    def _seconds(self) -> float:
        return self.spent_before + time.monotonic() - self.began

    @contextmanager
    def heeding_signals(self) -> Iterator[None]:
        """Ctrl-C and a polite kill are obeyed after the step at hand, so that no half of one is kept."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: Any) -> None:
            if self.stopped:  # asked twice
                raise KeyboardInterrupt
            self.stopped = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    # Training

    def train(self, record: Record) -> nn.Module:
        self.began = self.told_at = self.saved_at = time.monotonic()
        parameters = sum(parameter.numel() for parameter in self.net.parameters())
        start = {"net": self.entry.id, "settings": asdict(self.settings), "recipe": asdict(self.recipe)}
        budget = {"epochs": self.run.epochs, "minutes": self.run.minutes}
        line = (
            f"{self.entry.id}: {parameters / 1e6:.2f} M parameters, {self.windows.count} samples, "
            f"batches of {self.batch}, {self.steps_in_epoch} steps an epoch"
        )
        record.write("run", {**start, **budget, **self.notes, "at": asdict(self.progress)}, line=line)
        sums = _Sums()
        while True:
            while (done := self._done()) < 1:
                self._epoch(record, sums, done)
            self._tell(record, sums)
            if self.progress.stage == len(self.recipe.stages):
                break
            self.progress = replace(self.progress, stage=self.progress.stage + 1, epoch=0, step=0, steps=0)
            self._enter(self.progress.stage)
            record.write("stage", {"stage": self.progress.stage}, line=f"stage {self.progress.stage}")
        self._save()
        if self.progress.step or self.run.minutes is not None:
            self._validate(record)
        return self.net.eval()

    def _epoch(self, record: Record, sums: _Sums, done: float) -> None:
        """One epoch, or what is left of it, or of the stage."""
        progress = self.progress
        generator = torch.Generator().manual_seed(
            self.recipe.seed * 1_000_003 + progress.stage * 10_007 + progress.epoch
        )
        order = torch.randperm(self.windows.count, generator=generator)
        while progress.step < self.steps_in_epoch:
            start = progress.step * self.batch
            mine = order[start : start + self.batch][self.processes.rank :: self.processes.count]
            sums.add(self._step(self.windows.batch(mine), done))
            progress.step, progress.steps = progress.step + 1, progress.steps + 1
            progress.all_steps += 1
            now = time.monotonic()
            if self.processes.agree(now - self.told_at) > self.run.tell_every_s:
                self._tell(record, sums)
            done = self._done()
            record.step(self._all_done(), f"stage {progress.stage} epoch {progress.epoch} step {progress.step}")
            stopped = self.processes.agree(self.stopped) > 0
            if stopped or self.processes.agree(now - self.saved_at) > self.run.save_every_s:
                self._save()
                self.saved_at = time.monotonic()
            if stopped:
                raise Cancelled(f"Stopped; go on with --resume and {self.run.checkpoint}.")
            if done >= 1 and progress.step < self.steps_in_epoch:
                return
        self._tell(record, sums)
        progress.epoch, progress.step = progress.epoch + 1, 0
        self._save()
        self.saved_at = time.monotonic()
        self._validate(record)

    def _step(self, batch: dict[str, Tensor], done: float) -> dict[str, Tensor | float]:
        """One step of the optimiser."""
        rate = optimisers.learning_rate(self.recipe, self.stage, done, self.progress.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        momentum = optimisers.norm_momentum(self.recipe, done, self.progress.steps)
        if momentum is not None:
            if self.run.compile:  # each other momentum is compiled anew: five of them
                momentum = 10 ** (round(2 * math.log10(momentum)) / 2)
            optimisers.set_norm_momentum(self.net, momentum)
        kind = {"single": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.run.precision]
        with torch.autocast(self.device.type, kind, enabled=self.run.precision != "single"):
            total, parts = self._compiled(batch) if self.run.compile else self.step(batch)
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(total).backward()
        if self.recipe.clip_gradients:
            self.scaler.unscale_(self.optimiser)
            nn.utils.clip_grad_norm_(self.net.parameters(), self.recipe.clip_gradients)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.entry.after_step(self.net)
        return {**parts, "loss": total.detach()}

    def _compiled(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor | float]]:
        """The loss by way of torch's compiler, whose failures are told as what they are."""
        try:
            answer: tuple[Tensor, dict[str, Tensor | float]] = self.step(batch)
        except Exception as error:
            if not type(error).__module__.startswith(("torch._inductor", "torch._dynamo")):
                raise
            raise SetupError(
                f"PyTorch cannot compile {self.entry.id} here ({type(error).__name__}).",
                "Leave --compile out, or install a C++ compiler that suits this PyTorch.",
                "no-compiler",
            ) from error
        return answer

    def _tell(self, record: Record, sums: _Sums) -> None:
        self.told_at = time.monotonic()
        if not sums.count:
            return
        steps, means = sums.count, sums.take()
        if not math.isfinite(means["loss"]):
            raise InputError(
                f"The loss is no number any more (stage {self.progress.stage}, epoch {self.progress.epoch}, "
                f"step {self.progress.step}).",
                "Train with a lower --learning-rate, or with --set recipe.clip_gradients=1.",
                "training-diverged",
            )
        place = {"stage": self.progress.stage, "epoch": self.progress.epoch, "step": self.progress.step}
        rate = self.optimiser.param_groups[0]["lr"]
        seconds = self._seconds()
        line = (
            f"{seconds / 60:6.1f} min  stage {place['stage']} epoch {place['epoch']} step {place['step']}  "
            f"rate {rate:.1e}  " + "  ".join(f"{name} {value:.4f}" for name, value in means.items())
        )
        values = {**place, "steps": steps, "seconds": seconds, "learning_rate": rate, **means}
        record.write("train", values, self.progress.all_steps, line)

    def _validate(self, record: Record) -> None:
        if not self.test or not self.processes.leads:
            return
        net: Any = self.net.eval()
        lift = as_lift(net)
        answers = protocols.answer(lift, self.test, scores=net.needs_scores)
        means = protocols.figures(answers, measures=_VALIDATION)[protocols.MEAN]
        self.net.train()
        frames = sum(sequence.frame_count for sequence in self.test)
        line = f"test ({frames} frames): " + "  ".join(f"{name} {value:.1f}" for name, value in means.items())
        place = {"stage": self.progress.stage, "epoch": self.progress.epoch, "seconds": self._seconds()}
        record.write("test", {**place, **means}, self.progress.all_steps, line)


_VALIDATION = {name: protocols.MEASURES[name] for name in ("mpjpe_mm", "p_mpjpe_mm")}


def as_lift(net: nn.Module) -> protocols.Lift:
    """A network in evaluation mode as the protocols call it.

    Raises (when called):
        InputError: keypoints that it cannot take.
    """
    device, told = next(net.parameters()).device, type(net).__name__
    lifting: Any = net

    @torch.inference_mode()
    def lift(keypoints: np.ndarray) -> np.ndarray:
        x = check_keypoints(keypoints, lifting.skeleton.joints, lifting.needs_scores, told)
        return lifting(torch.as_tensor(x, device=device)[None])[0].float().cpu().numpy()

    return lift


def _thinned(sequences: Sequence[Sequence2D3D], frames: int) -> list[Sequence2D3D]:
    """Whole sequences, evenly chosen, of about so many frames together."""
    total = sum(sequence.frame_count for sequence in sequences)
    every = max(1, math.ceil(total / frames))
    return list(sequences[::every])
