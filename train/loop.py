"""The training loop: for each epoch train, evaluate, log, keep the best, checkpoint."""

from __future__ import annotations

import math
import platform
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from types import FrameType
from typing import Any

import numpy as np
import timm
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from timm.optim import param_groups_weight_decay
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from . import augment, data, export, figures, metrics, network, run_folder
from .calibrate import fit_temperature
from .config import RunConfig, to_json
from .data import Data, Split
from .losses import make_loss, smooth
from .sampling import epoch_order


@dataclass
class Progress:
    """Where a run stands; saved with every checkpoint."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    best: float = -1.0
    best_epoch: int = -1
    seconds: float = 0.0

    def state_dict(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take all fields over."""
        self.__dict__.update(state)


class Trainer:
    """One run, from its config to `result.json`."""

    def __init__(self, config: RunConfig, splits: Data, accelerator: Accelerator) -> None:
        """Put model, optimiser and data on the device; resume if the folder holds a state."""
        self.config, self.splits, self.accelerator = config, splits, accelerator
        self.device, self.rank, self.world = accelerator.device, accelerator.process_index, accelerator.num_processes
        if config.batch_size % self.world:
            raise ValueError(f"--batch-size {config.batch_size} cannot be shared by {self.world} processes evenly.")
        self.spec = network.input_spec(config)
        self.progress, self.signal = Progress(), 0
        self.rows = len(epoch_order(config.sampling, splits.train.labels, config.seed, 0))
        self.steps = self.rows // config.batch_size
        if not self.steps:
            raise ValueError(f"--batch-size {config.batch_size} is more than the {self.rows} training rows. Lower it.")
        self._build()
        self._load_state()

    def _build(self) -> None:
        config, accelerator = self.config, self.accelerator
        torch.manual_seed(config.seed)
        model, self.init_report = network.make_model(config, len(self.splits.labels))
        model = model.to(self.device, memory_format=torch.channels_last)
        self.ema = ModelEmaV3(model, decay=config.ema, use_warmup=True, warmup_power=3 / 4)
        groups = param_groups_weight_decay(model, config.weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=config.lr, fused=True)
        counts = torch.from_numpy(self.splits.train.counts(len(self.splits.labels)))
        self.loss = make_loss(config.loss, counts).to(self.device)
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        rate = partial(learning_rate, total=self.steps * config.epochs, warmup=config.warmup)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)  # stepped here: once a step, any world
        accelerator.register_for_checkpointing(self.ema, self.schedule, self.progress)
        self.forward: nn.Module | Callable[[Tensor], Tensor] = (
            torch.compile(self.model) if config.compile else self.model
        )
        self.images = torch.from_numpy(self.splits.train.images).to(self.device)
        self.labels = torch.from_numpy(self.splits.train.labels).to(self.device)
        self.mean = torch.tensor(self.spec.mean, device=self.device).view(1, -1, 1, 1)
        self.std = torch.tensor(self.spec.std, device=self.device).view(1, -1, 1, 1)

    def run(self) -> dict[str, Any]:
        """Train to the end; returns the result that `result.json` holds.

        Raises:
            Interrupted: SIGINT or SIGTERM came; the state is saved.
        """
        if self.accelerator.is_main_process:
            run_folder.keep_epochs(self.config.out, self.progress.epoch)
        with Signals(self), self._bar() as bar:
            for epoch in range(self.progress.epoch, self.config.epochs):
                loss = self._train_epoch(epoch, bar)
                scores = self._evaluate(self.splits.validation)
                self._log(epoch, loss, scores, bar)
                self._keep_best(epoch, scores["accuracy"])
                self._advance(epoch + 1)
                self._checkpoint()
        return self._finish()

    def _train_epoch(self, epoch: int, bar: tqdm[Any]) -> float:
        config, progress = self.config, self.progress
        order = torch.from_numpy(epoch_order(config.sampling, self.splits.train.labels, config.seed, epoch))
        self.model.train()
        total = torch.tensor(progress.loss_sum, dtype=torch.float64, device=self.device)
        started, before = time.monotonic(), progress.seconds
        for step in range(progress.step, self.steps):
            total += self._step(epoch, step, order[step * config.batch_size : (step + 1) * config.batch_size])
            bar.update(config.batch_size)
            progress.step, progress.seconds = step + 1, before + time.monotonic() - started
            due = progress.step % config.checkpoint_every == 0 and progress.step < self.steps
            stop = self._stop_asked()
            if due or stop:
                progress.loss_sum = self._finite(self.accelerator.reduce(total, "mean"), epoch)
                self._checkpoint()
                bar.set_postfix_str(f"epoch {epoch + 1}/{config.epochs} loss {progress.loss_sum / (step + 1):.3f}")
            if stop:
                raise run_folder.Interrupted(self.signal or signal.SIGTERM)
        return self._finite(self.accelerator.reduce(total, "mean"), epoch) / self.steps

    def _step(self, epoch: int, step: int, rows: Tensor) -> Tensor:
        """One optimiser step on this process's share of a global batch; returns the loss, not synchronised."""
        torch.manual_seed(augment.derive_seed(self.config.seed, epoch, step, self.rank))  # dropout, stochastic depth
        images, targets = self._batch(epoch, step, rows)
        with self.accelerator.autocast():
            loss: Tensor = self.loss(self.forward(images), targets)
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.update(self.accelerator.unwrap_model(self.model), step=epoch * self.steps + step)
        return loss.detach().double()

    def _batch(self, epoch: int, step: int, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Augmented input and target distributions of this process's share.

        Augmentation is drawn for the global batch and shared out; mixup blends within a process.
        """
        config, share = self.config, len(rows) // self.world
        mine = slice(self.rank * share, (self.rank + 1) * share)
        index = rows[mine].to(self.device)
        pictures = self.images[index].unsqueeze(1).float() / 255
        pictures = F.interpolate(pictures, size=self.spec.size, mode="bicubic", antialias=True).clamp(0, 1)
        draws = augment.draw(len(rows), config.seed, epoch, step).part(mine)
        pictures = augment.augment(pictures, draws, config.augment)
        targets = smooth(self.labels[index], len(self.splits.labels), config.label_smoothing)
        pictures, targets = augment.mix(pictures, targets, config.mixup, config.seed, epoch, step)
        normalised = (pictures - self.mean) / self.std
        return normalised.contiguous(memory_format=torch.channels_last), targets

    def _evaluate(self, split: Split) -> dict[str, Any]:
        return metrics.score(self._logits(split), split.labels, self.splits.labels)

    def _logits(self, split: Split) -> NDArray[np.float32]:
        return network.split_logits(network.torch_forward(self.ema.module, self.device), split, self.spec)

    def _log(self, epoch: int, loss: float, scores: dict[str, Any], bar: tqdm[Any]) -> None:
        if not self.accelerator.is_main_process:
            return
        row = {"epoch": epoch + 1, "train_loss": loss, "lr": self.schedule.get_last_lr()[0]}
        kept = ("accuracy", "balanced_accuracy", "macro_f1", "nll", "ece")
        row |= {f"validation_{name}": scores[name] for name in kept}
        run_folder.append_epoch(self.config.out, row | {"seconds": round(self.progress.seconds, 1)})
        bar.write(
            f"epoch {epoch + 1}/{self.config.epochs}  loss {loss:.4f}  validation accuracy {scores['accuracy']:.4f}"
            f"  macro-F1 {scores['macro_f1']:.4f}  NLL {scores['nll']:.4f}"
        )

    def _keep_best(self, epoch: int, accuracy: float) -> None:
        if accuracy > self.progress.best:
            self.progress.best, self.progress.best_epoch = accuracy, epoch
            if self.accelerator.is_main_process:
                weights = {k: v.contiguous() for k, v in self.ema.module.state_dict().items()}
                run_folder.write_bytes(self.config.out / run_folder.BEST, save(weights))

    def _advance(self, epoch: int) -> None:
        self.progress.epoch, self.progress.step, self.progress.loss_sum = epoch, 0, 0.0

    def _finite(self, total: Tensor, epoch: int) -> float:
        value = float(total)
        if not math.isfinite(value):
            raise run_folder.RunError(
                f"The loss became {value} in epoch {epoch + 1}. The last good state is kept in {self.config.out}; "
                "start another run with a lower --lr."
            )
        return value

    def _checkpoint(self) -> None:
        temporary = self.config.out / f"{run_folder.STATE}.tmp"
        if self.accelerator.is_main_process:
            shutil.rmtree(temporary, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        self.accelerator.save_state(str(temporary))
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            run_folder.swap_state(self.config.out)

    def _load_state(self) -> None:
        for name in (run_folder.STATE, run_folder.PREVIOUS):
            folder = self.config.out / name
            if not folder.exists():
                continue
            try:
                self.accelerator.load_state(str(folder))
            except Exception as error:  # whatever a file cut short makes the loaders raise
                self.accelerator.print(f"{folder} is damaged ({type(error).__name__}); trying the one before.")
                continue
            self.accelerator.print(f"resumed at epoch {self.progress.epoch + 1}, step {self.progress.step}")
            return
        if any((self.config.out / name).exists() for name in (run_folder.STATE, run_folder.PREVIOUS)):
            raise run_folder.RunError(f"No state in {self.config.out} can be read. Start anew with another --out.")

    def _stop_asked(self) -> bool:
        if self.world == 1:
            return bool(self.signal)
        if self.signal:
            self.accelerator.set_trigger()
        return bool(self.accelerator.check_trigger())

    def _bar(self) -> tqdm[Any]:
        done = (self.progress.epoch * self.steps + self.progress.step) * self.config.batch_size
        return tqdm(
            total=self.config.epochs * self.steps * self.config.batch_size,
            initial=done,
            unit="img",
            mininterval=0.5 if sys.stderr.isatty() else 30,
            disable=not self.accelerator.is_main_process,
        )

    def _finish(self) -> dict[str, Any]:
        """Calibrate on validation, score test once, export, draw; `result.json` last."""
        out = self.config.out
        self.accelerator.wait_for_everyone()
        if not self.accelerator.is_main_process:
            return {}
        model = self.ema.module
        model.load_state_dict(export.rounded(load_file(out / run_folder.BEST)))
        chosen = self._logits(self.splits.validation)
        temperature = fit_temperature(chosen, self.splits.validation.labels)
        result = self._result(chosen, self._logits(self.splits.test), temperature)
        export.write_model_folder(out / run_folder.MODEL, model.float().cpu(), self.spec, self.splits, result)
        figures.draw_run(out, run_folder.read_epochs(out))
        run_folder.write_json(out / run_folder.RESULT, result)
        return result

    def _result(self, chosen: metrics.Floats, final: metrics.Floats, temperature: float) -> dict[str, Any]:
        splits, progress = self.splits, self.progress
        scored = partial(metrics.score, names=splits.labels)
        return {
            "config": to_json(self.config),
            "parent": run_folder.parent_of(self.config.init),
            "rows": {"train": len(splits.train), "validation": len(splits.validation), "test": len(splits.test)},
            "label_space": splits.label_space,
            "best_epoch": progress.best_epoch + 1,
            "temperature": temperature,
            "validation": scored(chosen, splits.validation.labels, temperature=temperature),
            "test": scored(final, splits.test.labels, temperature=temperature),
            "uncalibrated": {
                "validation": _pick(scored(chosen, splits.validation.labels), "nll", "ece"),
                "test": _pick(scored(final, splits.test.labels), "nll", "ece"),
            },
            "parameters": sum(p.numel() for p in self.ema.module.parameters()),
            "init": self.init_report,
            "seconds": round(progress.seconds, 1),
            "images_per_second": round(self.rows * self.config.epochs / max(progress.seconds, 1e-9), 1),
            "machine": machine(self.accelerator),
        }


class Signals:
    """While it is entered, SIGINT and SIGTERM set the trainer's flag; before and after, they do what they did."""

    def __init__(self, trainer: Trainer) -> None:
        """Remember whose flag to set."""
        self.trainer, self.before = trainer, dict[int, Any]()

    def __enter__(self) -> None:
        """Take the signals over."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self.before[number] = signal.signal(number, self._set)

    def __exit__(self, *_: object) -> None:
        """Give them back."""
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _set(self, signum: int, frame: FrameType | None) -> None:
        self.trainer.signal = signum


def train(config: RunConfig) -> dict[str, Any]:
    """Run a config to its end, or return the result of the finished run in its folder.

    Raises:
        RunError: The folder holds another config, or the loss is no longer finite.
        Interrupted: A signal came; the state is saved.
    """
    accelerator = Accelerator(mixed_precision=config.precision)
    with accelerator.main_process_first():  # it writes config.json, the others compare with it
        run_folder.open_run(config)
    done = run_folder.result_of(config.out)
    if done is not None:
        return done
    torch.set_flush_denormal(True)  # numbers that fade to nothing are slow on a CPU
    with accelerator.main_process_first():
        splits = data.load(config.protocol, config.data, config.limit)
    return Trainer(config, splits, accelerator).run()


def learning_rate(step: int, total: int, warmup: float) -> float:
    """Factor on the peak rate: linear from 0 over the warm-up share, then a cosine to 0."""
    rising = max(1, round(total * warmup))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, total - rising))))


def machine(accelerator: Accelerator) -> dict[str, Any]:
    """What it ran on: device, processes, threads, versions."""
    cuda = torch.cuda.get_device_name() if accelerator.device.type == "cuda" else None
    return {
        "device": cuda or platform.machine(),
        "processes": accelerator.num_processes,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__.split("+")[0],
        "timm": timm.__version__,
    }


def _pick(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: values[name] for name in names}
