"""Many small encoders trained side by side: the arithmetic of trainers/implicit_em.py, no policy.

Letters: m members of a chunk, K units, B items of a batch, D columns of an item. A column of ones stands for the bias,
and columns of zeros fill the rows up to whole cache lines; their weights stay exactly zero.

Members that draw the same batches stand in chunks, so that one matrix product serves a whole chunk. On the CPU each
chunk runs through its epoch on a thread of its own, and every product within one thread: there, and only there, the
sums of a member come in the same order whoever stands beside it, so that its numbers are the same bit for bit.
"""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import torch

from core.events import FitData
from trainers import _probe

T = TypeVar("T")

FIXED_ITEMS = 2000
DEAD_VARIANCE, ACTIVE = 0.01, 0.01
VARIANCE_FLOOR, SPREAD_FLOOR = 1e-6, 1e-8
BETAS, EPSILON = (0.9, 0.999), 1e-8
CHUNK = 4
"""Members that share a product: weights, gradients and moments of more would not fit the second cache of a core."""
SLOTS = {"sgd": (), "momentum": ("velocity",), "adam": ("mean", "square"), "adamw": ("mean", "square")}


class Engine:
    """The members' weights and what is done with all of them; members are known by their number."""

    def __init__(self, data: FitData, order_seeds: Sequence[int], config: Any, device: str) -> None:
        """Raises ValueError where a training item holds what is no number, and for a single item."""
        self.order_seeds, self.batch_size, self.device = list(order_seeds), config.batch_size, device
        self.columns = int(np.prod(data.train.inputs.shape[1:]))
        self.pixels = _rows(data.train.inputs, device)
        self.validation_pixels = _rows(data.validation.inputs, device) if len(data.validation) else None
        rows = len(self.pixels)
        if rows < 2:
            raise ValueError("The encoder needs two training items or more: one has no variance.")
        # A last batch of a single item has no variance either, and is left out.
        self.steps = rows // self.batch_size + (rows % self.batch_size > 1)
        self.classes = torch.from_numpy(data.train.targets.argmax(axis=1))
        self.n_classes = data.train.targets.shape[1]
        self.members: dict[int, torch.Tensor] = {}
        self.configs: dict[int, Any] = {}
        self.moments: dict[int, dict[str, torch.Tensor]] = {}
        self.responsible: dict[int, torch.Tensor] = {}
        self.chunks: list[_Chunk] = []
        self.pool = None if device != "cpu" else _threads()

    def close(self) -> None:
        """End the threads."""
        if self.pool:
            self.pool.shutdown()

    def each(self, work: Callable[[Any], T], over: Sequence[Any]) -> list[T]:
        """`work` of each, on all threads, in order."""
        return list(self.pool.map(work, over)) if self.pool else [work(one) for one in over]

    def start(self, states: Sequence[dict[str, Any]], configs: Sequence[Any]) -> None:
        """Take the members' weights, and their optimisers' slots where they have some."""
        for number, (state, config) in enumerate(zip(states, configs, strict=True)):
            model, width = state["model"], self.pixels.shape[1]
            weights = torch.zeros(config.hidden_units, width)
            weights[:, : self.columns] = torch.tensor(np.asarray(model["weights"]))
            weights[:, self.columns] = torch.tensor(np.asarray(model["biases"]))
            self.members[number], self.configs[number] = weights.to(self.device), config
            names = SLOTS[config.optimizer]
            kept = {name: torch.tensor(np.asarray(state["slots"][name])) for name in names if name in state["slots"]}
            self.moments[number] = {name: kept.get(name, torch.zeros_like(weights)).to(self.device) for name in names}

    def weights(self, number: int) -> dict[str, torch.Tensor]:
        """A copy of a member's weights [K, D] and biases [K], on the CPU."""
        kept = self.members[number].to("cpu", copy=True)
        return {"weights": kept[:, : self.columns].clone(), "biases": kept[:, self.columns].clone()}

    def slots(self, number: int) -> dict[str, torch.Tensor]:
        """A copy of what a member's optimiser remembers, on the CPU."""
        return {name: slot.to("cpu", copy=True) for name, slot in self.moments[number].items()}

    def epoch(self, epoch: int, configs: Mapping[int, Any], rates: Mapping[int, float]) -> dict[int, dict[str, float]]:
        """Train the members of `configs` through their next epoch; their metrics by number."""
        self.configs.update(configs)
        numbers = sorted(configs)
        if sorted(number for chunk in self.chunks for number in chunk.numbers) != numbers:
            self.chunks = self.grouped(numbers)
        for number, found in zip(numbers, self.each(self.responsibilities, numbers), strict=True):
            self.responsible[number] = found
        seeds = {self.order_seeds[number] for number in numbers}
        shuffled = {seed: np.random.default_rng([seed, epoch]).permutation(len(self.pixels)) for seed in seeds}
        orders = {seed: torch.from_numpy(order).to(self.device) for seed, order in shuffled.items()}

        def train(chunk: _Chunk) -> list[float]:
            order = orders[self.order_seeds[chunk.numbers[0]]]
            chosen = [self.configs[number] for number in chunk.numbers]
            return chunk.train(self, order, epoch * self.steps, chosen, [rates[number] for number in chunk.numbers])

        losses: dict[int, float] = {}
        for chunk, means in zip(self.chunks, self.each(train, self.chunks), strict=True):
            losses |= dict(zip(chunk.numbers, means, strict=True))
        told = self.each(lambda number: self.metrics(number, losses[number]), numbers)
        return dict(zip(numbers, told, strict=True))

    def grouped(self, numbers: Sequence[int]) -> list[_Chunk]:
        """Chunks of members with the same batches, and as far as possible one optimiser; the slowest first."""
        same: dict[int, list[int]] = defaultdict(list)
        for number in numbers:
            same[self.order_seeds[number]].append(number)
        chunks = []
        for members in same.values():
            members.sort(key=lambda number: len(SLOTS[self.configs[number].optimizer]), reverse=True)
            size = CHUNK if self.pool else len(members)
            chunks += [_Chunk(self, members[start : start + size]) for start in range(0, len(members), size)]
        return sorted(chunks, key=lambda chunk: -sum(len(self.moments[number]) + 4 for number in chunk.numbers))

    def activations(self, number: int, pixels: torch.Tensor) -> torch.Tensor:
        """ReLU activations [K, n] of one member."""
        return torch.mm(self.members[number], pixels.T).clamp_min_(0)

    def responsibilities(self, number: int) -> torch.Tensor:
        """Those of the fixed items [K, n], with the weights of now; kept from the last metrics where they are."""
        if number in self.responsible:
            return self.responsible[number]
        return torch.softmax(-self.activations(number, self.pixels[:FIXED_ITEMS]), dim=0)

    def metrics(self, number: int, loss: float) -> dict[str, float]:
        """What an epoch tells of one member, the mean loss of its batches given."""
        active = self.activations(number, self.pixels[:FIXED_ITEMS])
        now = torch.softmax(-active, dim=0)
        norms = self.members[number][:, : self.columns].double().norm(dim=1)
        values = {
            "train/loss": loss,
            "train/scale_free_loss": loss + 2 * float(norms.clamp_min(1e-30).log().sum()),
            "train/weight_norm": float(norms.mean()),
            "train/weight_norm_squared": float(norms.square().mean()),
            "train/dead_units": float((active.var(dim=1) < DEAD_VARIANCE).sum()),
            "train/responsibility_entropy": float(torch.special.entr(now).sum(dim=0).mean()),
            "train/active_share": float((active > ACTIVE).float().mean()),
        }
        if number in self.responsible:
            moved = (now - self.responsible[number]).abs().sum(dim=0).mean()
            values["train/responsibility_change"] = float(moved)
        self.responsible[number] = now
        return values

    def look(self) -> dict[int, dict[str, float]]:
        """Metrics before any step; the loss over the fixed items in batches, in their order."""

        def first(number: int) -> dict[str, float]:
            return self.metrics(number, self.loss(number, self.pixels[:FIXED_ITEMS])[0])

        numbers = sorted(self.members)
        return dict(zip(numbers, self.each(first, numbers), strict=True))

    def loss(self, number: int, pixels: torch.Tensor) -> tuple[float, torch.Tensor]:
        """Mean loss of one member over batches in order, and its activations [K, n]; a last single item is left out."""
        active, config, losses = self.activations(number, pixels), self.configs[number], []
        for start in range(0, len(pixels), self.batch_size):
            batch = active[None, :, start : start + self.batch_size].contiguous()
            if batch.shape[2] > 1:
                losses.append(float(loss_of(Terms(batch), [config])[0]))
        return float(np.mean(losses)) if losses else math.nan, active

    def validation(self, number: int) -> tuple[float, np.ndarray]:
        """Loss and features [n, K] of one member on the validation part."""
        pixels = self.validation_pixels
        assert pixels is not None
        [(loss, active)] = self.each(lambda one: self.loss(one, pixels), [number])
        return loss, active.T.cpu().numpy()

    def probes(self, numbers: Sequence[int], *, is_final: bool) -> dict[int, dict[str, Any]]:
        """A linear probe per member: logistic regression on the whole training part, or a discriminant on a few."""

        def probe(number: int) -> dict[str, Any]:
            rows = self.pixels if is_final else self.pixels[:FIXED_ITEMS]
            features = self.activations(number, rows).T.cpu()
            if not torch.isfinite(features).all():  # diverged: nothing can be read from it
                return _probe.nothing(features.shape[1], self.n_classes)
            fitted = _probe.logistic if is_final else _probe.discriminant
            return fitted(features, self.classes[: len(rows)], self.n_classes)

        return dict(zip(numbers, self.each(probe, numbers), strict=True))


class _Chunk:
    """Members that see the same batches; `weights` [m, K, D] are theirs, one after the other."""

    def __init__(self, engine: Engine, numbers: Sequence[int]) -> None:
        self.numbers = list(numbers)
        self.weights = torch.stack([engine.members[number] for number in numbers])
        self.gradient = torch.empty_like(self.weights[0])
        for place, number in enumerate(numbers):
            engine.members[number] = self.weights[place]

    def train(
        self, engine: Engine, order: torch.Tensor, step: int, configs: list[Any], rates: list[float]
    ) -> list[float]:
        """One epoch over the items in `order`; the mean loss over batches per member."""
        size, losses = engine.batch_size, []
        m, units, width = self.weights.shape
        rows = torch.empty(size, width, device=engine.device)
        active = torch.empty(m, units, size, device=engine.device)
        count = torch.empty((), device=engine.device)
        weights = scales_of(configs, engine.device)
        slots = [engine.moments[number] for number in self.numbers]
        for batch in range(engine.steps):
            chosen = order[batch * size : (batch + 1) * size]
            if len(chosen) < size:
                rows, active = rows[: len(chosen)], torch.empty(m, units, len(chosen), device=engine.device)
            torch.index_select(engine.pixels, 0, chosen, out=rows)
            torch.mm(self.weights.view(-1, width), rows.T, out=active.view(m * units, -1))
            terms = Terms(active.clamp_min_(0))
            losses.append(terms.summary())
            slopes = slopes_of(terms, weights)
            count.fill_(step + batch + 1)
            for place, (config, rate) in enumerate(zip(configs, rates, strict=True)):
                self.update(place, slopes[place], rows, config, rate, slots[place], count)
                if config.normalise_rows:
                    _normalise(self.weights[place], engine.columns)
        return _mean_losses(losses, configs)

    def update(
        self, place: int, slopes: torch.Tensor, rows: torch.Tensor, config: Any, rate: float, slots: dict, count: Any
    ) -> None:
        """One step of one member's optimiser, as torch.optim makes it; `slopes` [K, B] are ∂loss/∂(Wx + b)."""
        weights, decay = self.weights[place], config.weight_decay
        if config.optimizer == "sgd":  # the product itself adds the step to the weights
            weights.addmm_(slopes, rows, beta=1 - rate * decay, alpha=-rate)
        elif config.optimizer == "momentum":
            velocity = slots["velocity"].addmm_(slopes, rows, beta=config.momentum)
            if decay:
                velocity.add_(weights, alpha=decay)
            weights.sub_(velocity, alpha=rate)
        else:
            torch.mm(slopes, rows, out=self.gradient)
            fused = torch._fused_adamw_ if config.optimizer == "adamw" else torch._fused_adam_
            fused([weights], [self.gradient], [slots["mean"]], [slots["square"]], [], [count], lr=rate, beta1=BETAS[0],
                  beta2=BETAS[1], weight_decay=decay, eps=EPSILON, amsgrad=False, maximize=False)  # fmt: skip


class Terms:
    """What loss and gradient of a batch of activations [m, K, B] are made of."""

    def __init__(self, active: torch.Tensor) -> None:
        divisor = active.shape[2] - 1
        self.active = active
        self.lowest = active.amin(dim=1, keepdim=True)  # taken out, so that exp cannot underflow for all units at once
        self.shares = torch.sub(self.lowest, active).exp_()
        self.total = self.shares.sum(dim=1, keepdim=True)
        self.centred = active - active.mean(dim=2, keepdim=True)
        covariance = torch.bmm(self.centred, self.centred.transpose(1, 2)).mul_(1 / divisor)
        self.variance = covariance.diagonal(dim1=1, dim2=2).clone()
        self.spread = self.variance.sqrt()
        self.inverse = 1 / (self.spread + SPREAD_FLOOR)
        self.correlation = covariance.mul_(self.inverse[:, :, None]).mul_(self.inverse[:, None, :])
        self.correlation.diagonal(dim1=1, dim2=2).zero_()
        self.shared = self.correlation.square().sum(dim=2)

    def summary(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Enough for the loss and small enough to keep: log-sum-exp [m], variances and sums of squares [m, K]."""
        return (self.lowest - self.total.log()).sum(dim=(1, 2)), self.variance, self.shared


def loss_of(terms: Terms, configs: Sequence[Any]) -> list[float]:
    """The loss [m] of one batch, in nats."""
    return _mean_losses([terms.summary()], configs)


def _mean_losses(parts: list[tuple], configs: Sequence[Any]) -> list[float]:
    """Mean over batches of λ_lse·L_lse + λ_var·L_var + λ_tc·L_tc per member."""
    explained, variance, shared = (torch.stack(part).double() for part in zip(*parts, strict=True))  # [batches, m, …]
    losses = []
    for place, config in enumerate(configs):
        spread = variance[:, place]
        if config.variance_term == "log":
            varies = -torch.log(spread + VARIANCE_FLOOR).sum(dim=1)
        else:
            varies = (1 - spread.sqrt()).clamp_min(0).sum(dim=1)
        total = config.lse_weight * explained[:, place] + config.variance_weight * varies
        losses.append(float((total + config.correlation_weight * shared[:, place].sum(dim=1)).mean()))
    return losses


def scales_of(configs: Sequence[Any], device: str) -> tuple[torch.Tensor, ...]:
    """The weights of the three terms [m, 1, 1] or [m, 1], and where the variance term is a hinge [m, 1]."""
    names = ("lse_weight", "variance_weight", "correlation_weight")
    lse, variance, correlation = (torch.tensor([[getattr(c, n)] for c in configs], device=device) for n in names)
    is_hinge = torch.tensor([[c.variance_term == "hinge"] for c in configs], device=device)
    return lse[:, :, None], variance, correlation, is_hinge


def slopes_of(terms: Terms, scales: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """∂loss/∂(Wx + b) [m, K, B] in closed form.

    ∂L_lse/∂a is the responsibility softmax(−a). With c the centred activations, v their variances, s = √v,
    n = 1/(s + 1e-8), C the correlations with 0 on the diagonal and q_j = Σ_k C_jk²:
    ∂L_var/∂a_j = −2 c_j / ((B − 1)(v_j + 1e-6)), ∂L_tc/∂a_j = 4 (n_j Σ_k C_jk n_k c_k − q_j n_j c_j / s_j) / (B − 1).
    Both are linear in c, so that one product with a [K, K] matrix gives them. Overwrites `terms`.
    """
    lse, variance, correlation, is_hinge = scales
    divisor = terms.active.shape[2] - 1
    inverse, spread = terms.inverse, terms.spread
    mixing = terms.correlation.mul_((4 / divisor) * (correlation * inverse)[:, :, None]).mul_(inverse[:, None, :])
    varying = -2 * variance / (terms.variance + VARIANCE_FLOOR)
    safe = torch.where(spread > 0, spread, 1.0)  # a constant unit has c = 0: any finite factor will do
    if bool(is_hinge.any()):
        varying = torch.where(is_hinge, -variance * (spread < 1) / safe, varying)
    own = (varying - 4 * correlation * terms.shared * inverse / safe) / divisor
    mixing.diagonal(dim1=1, dim2=2).copy_(own)
    shares = terms.shares.mul_(lse / terms.total)
    slopes = torch.baddbmm(shares, mixing, terms.centred, out=shares)
    return torch.ops.aten.threshold_backward(slopes, terms.active, 0)


def _normalise(weights: torch.Tensor, columns: int) -> None:
    """Bring each row of [K, D] to length 1 over its first `columns`, in place."""
    pixels = weights[:, :columns]
    pixels.div_(pixels.norm(dim=1, keepdim=True).clamp_min(1e-30))


def _rows(inputs: np.ndarray, device: str) -> torch.Tensor:
    """Items as rows [n, D] on the device: their values, a 1 for the bias, zeros up to a multiple of 16 columns."""
    flat = inputs.reshape(len(inputs), -1)
    wrong = int((~np.isfinite(flat)).any(axis=1).sum())
    if wrong:
        raise ValueError(f"{wrong} of {len(flat)} items hold values that are not numbers; leave those items out.")
    rows = torch.zeros(len(flat), -(-(flat.shape[1] + 1) // 16) * 16)
    rows[:, : flat.shape[1]] = torch.from_numpy(np.asarray(flat, dtype=np.float32))
    rows[:, flat.shape[1]] = 1
    return rows.to(device)


def _threads() -> ThreadPoolExecutor:
    """As many threads as torch would use, each of which computes alone."""
    before = torch.get_num_threads()
    all_there = threading.Barrier(before + 1)  # so that none starts later and sets torch's threads once more

    def alone() -> None:
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)  # the moments of dead units fade into numbers that cost a hundred times the time

    pool = ThreadPoolExecutor(before, thread_name_prefix="encoders", initializer=alone)
    for _ in range(before):
        pool.submit(all_there.wait)
    all_there.wait()
    torch.set_num_threads(before)  # the first setting was this thread's too
    return pool
