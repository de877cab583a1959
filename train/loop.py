"""The training loop: for each epoch train, evaluate, log, keep the best, checkpoint."""

from __future__ import annotations

import importlib.util
import math
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from numpy.typing import NDArray
from safetensors.torch import save
from timm.layers import convert_sync_batchnorm
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from tqdm import tqdm

from . import ancestry, augment, emissions, finish, memory, metrics, network, run_folder, sam, start, teacher
from .batches import Batches
from .config import RunConfig, to_json
from .data import Data
from .losses import make_loss
from .optim import Schedule, make_optimizer
from .sampling import epoch_order
from .state import Outputs, Progress, Signals


class Trainer:
    """One run, from its config to `result.json`."""

    def __init__(
        self,
        config: RunConfig,
        splits: Data,
        accelerator: Accelerator,
        deadline: float | None = None,
        taught_by: Sequence[dict[str, Any]] = (),
        parent: dict[str, Any] | None = None,
    ) -> None:
        """Put model, optimiser and data on the device; resume if the folder holds a state.

        `taught_by`, `parent`: what is kept of the teachers and of the run before, see teacher.described and
        ancestry.parent_of.
        """
        self.config, self.splits, self.accelerator = config, splits, accelerator
        self.device, self.rank, self.world = accelerator.device, accelerator.process_index, accelerator.num_processes
        if config.batch_size % self.world:
            raise ValueError(f"--batch-size {config.batch_size} cannot be shared by {self.world} processes evenly.")
        self.taught_by, self.parent = list(taught_by), parent
        self.deadline = math.inf if deadline is None else deadline
        self.spec = network.input_spec(config)
        self.progress, self.signals = Progress(), Signals()
        self.meter = emissions.Meter(config.emissions if accelerator.is_main_process else None)
        self.rows = len(self.order(0))
        self.steps = self.rows // config.batch_size
        if not self.steps:
            raise ValueError(f"--batch-size {config.batch_size} is more than the {self.rows} training rows. Lower it.")
        self._build()
        self._load_state()

    def _build(self) -> None:
        config, accelerator, splits = self.config, self.accelerator, self.splits
        torch.manual_seed(config.seed)
        model, self.init_report = network.make_model(config, len(splits.labels))
        finish.check(config, model)
        if self.world > 1 and self.device.type == "cuda":
            model = convert_sync_batchnorm(model)  # statistics of the global batch, however many share it
        model = model.to(self.device, memory_format=torch.channels_last)
        self.ema = ModelEmaV3(model, decay=config.ema, use_warmup=True, warmup_power=3 / 4)
        optimizer = make_optimizer(config, model)
        drawn = torch.from_numpy(splits.train.labels)[self.order(0)]
        counts = drawn.bincount(minlength=len(splits.labels))
        self.loss = make_loss(config.loss, counts).to(self.device)
        self.teacher = teacher.Teacher.of(config, self.spec, self.device) if config.teacher else None
        self.batches = Batches(config, splits.train, len(splits.labels), self.spec, self.device, self.rank, self.world)
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        self.schedule = Schedule(config, optimizer, self.steps * config.epochs)
        self.outputs = Outputs(self.steps * config.batch_size, len(splits.labels), accelerator)
        accelerator.register_for_checkpointing(self.ema, self.schedule, self.progress, self.outputs)
        self.forward: nn.Module | Callable[[Tensor], Tensor] = (
            torch.compile(self.model) if config.compile else self.model
        )

    def run(self) -> dict[str, Any]:
        """Train to the end; returns the result that `result.json` holds.

        Raises:
            Interrupted: SIGINT or SIGTERM came, or the deadline passed; the state, or the result, is saved.
        """
        if self.accelerator.is_main_process:
            run_folder.keep_epochs(self.config.out, self.progress.epoch)
            start.draw(self)
        with self.signals, self.meter, self._bar() as bar:
            while not self._enough():
                loss = self._train_epoch(self.progress.epoch, bar)
                scores = self._validate()
                self._log(loss, self._training_scores(), scores, bar)
                self._keep_best(scores)
                self.schedule.end_epoch(scores["nll"])
                self.progress.next_epoch()
                self.outputs.clear()
                self._checkpoint()
            result = finish.finish(self)
        if self.signals.number:  # while the end was written: it is whole, but what called this shall not go on
            raise run_folder.Interrupted(self.signals.number)
        return result

    def _enough(self) -> bool:
        progress, patience = self.progress, self.config.patience
        tired = patience > 0 and progress.epoch - 1 - progress.best_epoch >= patience
        return progress.epoch >= self.config.epochs or (tired and progress.epoch > 0)

    def _train_epoch(self, epoch: int, bar: tqdm[Any]) -> float:
        config, progress = self.config, self.progress
        order = self.order(epoch)
        self.model.train()
        total = torch.tensor(progress.loss_sum, dtype=self._exact, device=self.device)
        started, before = time.monotonic(), progress.seconds
        for step in range(progress.step, self.steps):
            total += self._step(epoch, step, order[step * config.batch_size : (step + 1) * config.batch_size])
            bar.update(config.batch_size)
            progress.step, progress.seconds = step + 1, before + time.monotonic() - started
            due = progress.step % config.checkpoint_every == 0 and progress.step < self.steps
            stop = self._stop_asked()
            if due or stop:
                progress.loss_sum = self._finite(self.accelerator.reduce(total, "mean"))
                self._checkpoint()
                bar.set_postfix_str(f"epoch {epoch + 1}/{config.epochs} loss {progress.loss_sum / (step + 1):.3f}")
            if stop:
                raise run_folder.Interrupted(self.signals.number)
        return self._finite(self.accelerator.reduce(total, "mean")) / self.steps

    def _step(self, epoch: int, step: int, rows: Tensor) -> Tensor:
        """One optimiser step on this process's share of a global batch; returns the loss, not synchronised."""
        config = self.config
        images, targets = self.batches(epoch, step, rows)[:2]
        hints = None if self.teacher is None else self.teacher(images)
        seed = augment.derive_seed(config.seed, epoch, step, self.rank)
        loss, logits = self._backward(images, targets, hints, seed)
        if config.sam:
            with sam.climbed(self.model, config.sam):
                self._backward(images, targets, hints, seed)
        if config.clip:
            self.accelerator.clip_grad_norm_(self.model.parameters(), config.clip)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        if config.ema:
            self.ema.update(self.accelerator.unwrap_model(self.model), step=epoch * self.steps + step)
        self.outputs.put(step * config.batch_size + self.rank * len(images), logits)
        return loss.detach().to(self._exact)

    def _backward(self, images: Tensor, targets: Tensor, hints: Tensor | None, seed: int) -> tuple[Tensor, Tensor]:
        """Forward and backward, the same dropout for the same seed; returns loss and logits."""
        torch.manual_seed(seed)  # dropout, stochastic depth
        share, temperature = self.config.teacher_share, self.config.teacher_temperature
        with self.accelerator.autocast():
            logits = self.forward(images)
            loss: Tensor = self.loss(logits, targets)
            if hints is not None:
                loss = (1 - share) * loss + share * teacher.divergence(logits, hints, temperature)
        self.accelerator.backward(loss)
        return loss, logits

    def order(self, epoch: int) -> Tensor:
        """Row indices of an epoch, in their order."""
        train = self.splits.train
        rows = epoch_order(self.config.sampling, train.labels, self.config.seed, epoch, self.splits.labels)
        return torch.from_numpy(rows)

    @property
    def _exact(self) -> torch.dtype:
        """Sums over an epoch in double precision, which Apple's devices do not have."""
        return torch.float32 if self.device.type == "mps" else torch.float64

    def _validate(self) -> dict[str, Any]:
        """The figures of the epoch, those of the main process: what all of them decide by must not differ.

        Each has an average of its own, and on CPUs statistics of its own share of the batches.
        """
        if not self.config.ema:
            self.ema.set(self.accelerator.unwrap_model(self.model))
        logits = self._finite_logits(network.split_logits(self.network(), self.splits.validation, self.spec))
        scores = [metrics.score(logits, self.splits.validation.labels, self.splits.labels)]
        return dict(broadcast_object_list(scores)[0])

    def network(self) -> network.Forward:
        """The averaged network as a function of numpy arrays."""
        return network.torch_forward(self.ema.module, self.device)

    def _training_scores(self) -> dict[str, Any]:
        """Figures of the augmented training rows, as the network gave them on its way through the epoch."""
        logits = self.outputs.collect().cpu().numpy()
        rows = self.order(self.progress.epoch)[: len(logits)]
        return metrics.score(logits, self.splits.train.labels[rows.numpy()], self.splits.labels)

    def _log(self, loss: float, training: dict[str, Any], scores: dict[str, Any], bar: tqdm[Any]) -> None:
        if not self.accelerator.is_main_process:
            return
        epoch = self.progress.epoch + 1
        row = {"epoch": epoch, "train_loss": loss, "lr": self.schedule.lr}
        for split, figures in (("train", training), ("validation", scores)):
            row |= {f"{split}_{name}": figures[name] for name in metrics.EPOCH_FIGURES}
        run_folder.append_epoch(self.config.out, row | {"seconds": round(self.progress.seconds, 1)})
        self.accelerator.log({name: value for name, value in row.items() if value is not None}, step=epoch)
        bar.write(
            f"epoch {epoch}/{self.config.epochs}  loss {loss:.4f}  validation accuracy {scores['accuracy']:.4f}"
            f"  macro-F1 {scores['macro_f1']:.4f}  NLL {scores['nll']:.4f}"
        )

    def _keep_best(self, scores: dict[str, Any]) -> None:
        name = self.config.choose_by
        figure = -scores[name] if name == "nll" else scores[name]
        if figure > self.progress.best:
            self.progress.best, self.progress.best_epoch = figure, self.progress.epoch
            if self.accelerator.is_main_process:
                weights = {k: v.contiguous() for k, v in self.ema.module.state_dict().items()}
                run_folder.write_bytes(self.config.out / run_folder.BEST, save(weights))

    def _finite(self, total: Tensor) -> float:
        """The sum of losses, if it and the weights are numbers.

        Raises:
            RunError: They are not; nothing is saved, the state before stays.
        """
        value, weights = float(total), self.accelerator.unwrap_model(self.model).state_dict().values()
        sound = all(bool(w.isfinite().all()) for w in weights if w.is_floating_point())
        if math.isfinite(value) and sound:
            return value
        what = "the weights are no longer finite" if math.isfinite(value) else f"the loss became {value}"
        raise run_folder.RunError(
            f"By step {self.progress.step} of {self.steps} in epoch {self.progress.epoch + 1} {what}. "
            f"The last good state is kept in {self.config.out}; start another run with a lower --lr."
        )

    def _finite_logits(self, logits: NDArray[Any]) -> NDArray[Any]:
        if not torch.from_numpy(logits).isfinite().all():
            raise run_folder.RunError(
                f"After epoch {self.progress.epoch + 1} the network gives logits that are no numbers. "
                f"The last good state is kept in {self.config.out}; start another run with a lower --lr."
            )
        return logits

    def _checkpoint(self) -> None:
        self.progress.grams += self.meter.take()
        temporary = self.config.out / f"{run_folder.STATE}.tmp"
        if self.accelerator.is_main_process:
            shutil.rmtree(temporary, ignore_errors=True)
        self.outputs.collect()
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
        """Whether a signal came, to any process, or the time is over."""
        if time.monotonic() > self.deadline:
            self.signals.number = self.signals.number or run_folder.OUT_OF_TIME
        if self.world == 1:
            return bool(self.signals.number)
        if self.signals.number:
            self.accelerator.set_trigger()
        asked = bool(self.accelerator.check_trigger())
        if asked and not self.signals.number:
            self.signals.number = signal.SIGTERM  # another process was told
        return asked

    def _bar(self) -> tqdm[Any]:
        done = (self.progress.epoch * self.steps + self.progress.step) * self.config.batch_size
        return tqdm(
            total=self.config.epochs * self.steps * self.config.batch_size,
            initial=done,
            unit="img",
            mininterval=0.5 if sys.stderr.isatty() else 30,
            disable=not self.accelerator.is_main_process,
        )


def train(config: RunConfig, splits: Data | None = None, deadline: float | None = None) -> dict[str, Any]:
    """Run a config to its end, or return the result of the finished run in its folder.

    Args:
        config: The run.
        splits: Its data, where they are loaded already; a finished run must have been on the same.
        deadline: Value of time.monotonic() after which the run saves its state and stops.

    Raises:
        RunError: The folder holds another config or other data, or the loss is no longer finite.
        Interrupted: A signal came, or the deadline passed; the state, or the result, is saved.
    """
    tracker = None if config.log_with == "none" else _tracker(config.log_with)
    accelerator = Accelerator(mixed_precision=config.precision, log_with=tracker, project_dir=config.out)
    run_folder.check(config)
    done = run_folder.result_of(config.out)
    if done is not None:
        if splits is not None:
            run_folder.check_data(config.out, done.get("data"), splits.digest)
        return done
    torch.set_flush_denormal(True)  # numbers that fade to nothing are slow on a CPU
    if accelerator.device.type == "cpu":
        memory.keep()
    with accelerator.main_process_first():  # it decodes and writes, the others read
        splits = splits or start.load(config)
    teachers = teacher.described(config, splits)
    parent = ancestry.parent_of(config.init, splits, config.protocol)
    if accelerator.is_main_process:
        run_folder.open_run(config, splits.digest, teachers)
        start.say_warnings(splits, [*ancestry.warnings(parent), *teacher.warnings(teachers)])
    if tracker:
        accelerator.init_trackers("fer_hub", config={k: _plain(v) for k, v in to_json(config).items()})
    try:
        return Trainer(config, splits, accelerator, deadline, teachers, parent).run()
    finally:
        accelerator.end_training()


def _plain(value: Any) -> Any:
    """A config's value as a tracker takes it."""
    return ", ".join(value) or "none" if isinstance(value, list) else "none" if value is None else value


def _tracker(name: str) -> str:
    if importlib.util.find_spec(name) is None:
        raise ValueError(f"--log-with {name}: the package {name} is not installed. Type: pip install {name}")
    return name
