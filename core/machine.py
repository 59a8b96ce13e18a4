"""The devices of this machine: which there are, and how busy they are right now. Without importing torch."""

from __future__ import annotations

import os
from dataclasses import dataclass

import psutil

CUDA_NEEDED = 13_000
"""The driver's CUDA version, as NVML counts it, that the pinned torch needs."""


@dataclass(frozen=True)
class Use:
    """One device now: `busy` is a share (None where it cannot be read), memory in bytes."""

    device: str
    name: str
    busy: float | None
    memory_used: int
    memory_total: int


def resolve_device(wanted: str, usable: tuple[str, ...]) -> str:
    """The device a run will use. ValueError where this machine or this trainer has no such device."""
    present = devices()
    kinds = [device.partition(":")[0] for device in present]
    if wanted == "auto":
        return next(device for device, kind in zip(present, kinds, strict=True) if kind in usable)
    kind = wanted.partition(":")[0]
    if kind not in ("cpu", "cuda", "mps"):
        raise ValueError(f"There is no device {wanted!r}; choose auto, cpu, cuda or mps.")
    if kind not in usable:
        raise ValueError(f"This trainer runs on {', '.join(usable)}, not on {wanted}.")
    if kind not in kinds:
        raise ValueError(f"This machine has no {wanted}; it has {', '.join(present)}.")
    found = next((device for device in present if device in (wanted, f"{wanted}:0")), None)
    if found is None:
        raise ValueError(f"This machine has no {wanted}; it has {', '.join(present)}.")
    return found


def devices() -> list[str]:
    """The devices of this machine, fastest first, without importing torch: "cuda:0" …, "mps", "cpu".

    GPUs that CUDA_VISIBLE_DEVICES hides do not count; those it shows are numbered from 0, as in torch.
    """
    import pynvml

    found = []
    try:
        pynvml.nvmlInit()
        if pynvml.nvmlSystemGetCudaDriverVersion() < CUDA_NEEDED:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        count, shown = pynvml.nvmlDeviceGetCount(), os.environ.get("CUDA_VISIBLE_DEVICES")
        if shown is not None:
            count = min(count, sum(part.strip() not in ("", "-1") for part in shown.split(",")))
        found = [f"cuda:{number}" for number in range(count)]
        pynvml.nvmlShutdown()
    except pynvml.NVMLError:  # no driver, one too old for this torch, no GPU
        found = []
    if os.uname().sysname == "Darwin" and os.uname().machine == "arm64":
        found.append("mps")
    return [*found, "cpu"]


def use() -> list[Use]:
    """Every device with its load and memory; the processor's load is that since the last call (at first since boot)."""
    memory = psutil.virtual_memory()
    cores = psutil.cpu_count() or 1
    whole = Use("cpu", f"{cores} cores", psutil.cpu_percent() / 100, memory.total - memory.available, memory.total)
    found = [_gpu_use(device) for device in devices() if device.startswith("cuda")]
    if "mps" in devices():  # shares the processor's memory, and its load cannot be read without root
        found.append(Use("mps", "Apple GPU", None, whole.memory_used, whole.memory_total))
    return [*(one for one in found if one), whole]


def free_memory() -> float:
    """The share of this machine's memory that is available to new processes."""
    memory = psutil.virtual_memory()
    return memory.available / memory.total


def process_memory(pid: int) -> int | None:
    """Bytes of memory that a process of this machine holds; None where it is gone."""
    try:
        return int(psutil.Process(pid).memory_info().rss) if pid else None
    except psutil.Error:
        return None


def _gpu_use(device: str) -> Use | None:
    import pynvml

    try:
        pynvml.nvmlInit()
        handle = _handle(int(device.partition(":")[2]))
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        try:
            busy = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
        except pynvml.NVMLError:  # a slice of a shared GPU has memory but no load of its own
            busy = None
        return Use(device, str(pynvml.nvmlDeviceGetName(handle)), busy, int(memory.used), int(memory.total))
    except pynvml.NVMLError:  # it was unplugged, or the driver went
        return None
    finally:
        _shut_down()


def _handle(number: int) -> object:
    """The NVML handle of torch's GPU `number`: the one that CUDA_VISIBLE_DEVICES shows in that place."""
    import pynvml

    shown = [part.strip() for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part.strip()]
    name = shown[number] if number < len(shown) else str(number)
    if name.isdigit():
        return pynvml.nvmlDeviceGetHandleByIndex(int(name))
    return pynvml.nvmlDeviceGetHandleByUUID(name)


def _shut_down() -> None:
    import pynvml

    try:
        pynvml.nvmlShutdown()
    except pynvml.NVMLError:  # it never was up
        return
