"""The machine while it works: each device with its load, what runs on it, and what waits for it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import streamlit as st

from core import control, machine, paths, rundir, supervisor
from pages import runnames, shared

SHOWN = 12
GIB = 2**30


def panel() -> None:
    """Devices, what runs, and the queue; ticks by itself."""
    st.fragment(_panel, run_every=shared.side_s())()


def _panel() -> None:
    busy = _busy(shared.under_way())
    st.subheader("This machine", anchor=False)
    for use in machine.use():
        on_it = [text for device, text in busy if device == use.device]
        load = "" if use.busy is None else f"{use.busy:.0%} busy, "
        memory = f"{use.memory_used / GIB:.1f} of {use.memory_total / GIB:.0f} GiB in use"
        text = f"**{use.device}** · {shared.plain(use.name)} · {load}{memory}"
        st.progress(min(max(use.busy or 0.0, 0.0), 1.0), text=text)
        st.caption("; ".join(on_it) if on_it else "No run of this lab on it.")
    _queue()


def _busy(folders: list[Path]) -> list[tuple[str, str]]:
    """Device and sentence of every run that holds one."""
    found = []
    for folder in folders:
        status = rundir.read_status(folder)
        if status.state not in rundir.ACTIVE or status.is_finished:
            continue
        try:
            spec = rundir.read_spec(folder)
        except ValueError:  # damaged: that run's own page says so
            continue
        found.append(
            (
                spec.device,
                shared.plain(f"{spec.trainer} on {shared.data_name(spec.data)}, {status.state}{_memory(status.pid)}"),
            )
        )
    return found


def _memory(pid: int) -> str:
    used = machine.process_memory(pid)
    return "" if used is None else f", {used / GIB:.1f} GiB"


def _queue() -> None:
    waiting = supervisor.waiting()
    if not waiting:
        return
    st.markdown(f"**Queue** · {len(waiting)} waiting; a device takes one at a time, of a sweep as many as it asks for")
    specs: dict[str, rundir.Spec] = {}
    for name in waiting[:SHOWN]:
        with contextlib.suppress(ValueError):  # damaged or just deleted: the supervisor takes it out
            specs[name] = rundir.read_spec(paths.runs() / name)
    names = [runnames.name_of(one.trainer, one.data, one.seed, one.sweep, one.config) for one in specs.values()]
    told = dict(
        zip(specs, runnames.apart(names, [one.config | {"split": one.split} for one in specs.values()]), strict=True)
    )
    for place, name in enumerate(waiting[:SHOWN], 1):
        if name not in specs:
            continue
        spec = specs[name]
        said, earlier, later = st.columns([12, 1, 1], vertical_alignment="center", gap="small")
        text = shared.plain(f"{place}. {told[name]}, for {spec.device}, {shared.ago(spec.created_at)}")
        if said.button(text, key=f"queue.show.{name}", type="tertiary", help="Show this run"):
            st.query_params["run"] = name
            st.rerun()
        up, down = place > 1, place < len(waiting)
        if earlier.button("", icon=":material/arrow_upward:", key=f"queue.up.{name}", help="Earlier", disabled=not up):
            _move(name, place - 1)
        if later.button(
            "", icon=":material/arrow_downward:", key=f"queue.down.{name}", help="Later", disabled=not down
        ):
            _move(name, place + 1)
    if len(waiting) > SHOWN:
        st.caption(f"And {len(waiting) - SHOWN} more.")


def _move(name: str, place: int) -> None:
    try:
        control.reorder(paths.runs() / name, place)
    except (ValueError, OSError) as error:  # it started, another tab was faster, or the disk refused
        st.toast(shared.plain(shared.reason(error)))
    st.rerun()
