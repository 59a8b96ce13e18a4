"""The Guide: what every number and picture means, from where each is defined, and how to read them together."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from types import ModuleType
from typing import NamedTuple

from core import charts, config, datacharts, datasets, metrics, runcurves

SECTIONS = ("How to read", "Metrics", "Charts", "Knobs", "Data")


class Entry(NamedTuple):
    """One thing the Guide explains. `text` may hold Markdown of ours, never a user's."""

    section: str
    name: str
    text: str

    @property
    def anchor(self) -> str:
        """Where a link to it points: "metrics-ccc"; only a-z, 0-9 and hyphens."""
        return re.sub("[^a-z0-9]+", "-", f"{self.section} {self.name}".lower()).strip("-")


def link(metric: str) -> str:
    """Where the Guide explains a logged metric, as an address from any page; ValueError for one that is not known."""
    name = metrics.about(metric).name
    return f"guide?section=Metrics#{Entry('Metrics', name, '').anchor}"


READING = {
    "Over-fitting": """
While training and validation loss fall together the model learns what is general. Once the training loss goes
on falling and the validation loss turns up, it learns the training songs by heart. Judge by the **best**
validation epoch (that checkpoint is kept), not by the last. A gap alone is no fault: a large model may have one
and still be best on validation. What helps: more songs, augmentation, weight decay, dropout, a smaller model,
stopping early. A training loss that does not fall at all is the opposite, under-fitting: a learning rate that
is far too small or too large, or a model that is too small.""",
    "Losses of a GAN": """
Generator and discriminator pull against each other, so neither loss says how good the samples are: look and
listen, or use a distance to real data. With the usual cross-entropy a discriminator that can only guess has
loss ln 2 = 0.693 per decision (1.386 where real and generated are added up), and a generator that fools it half
the time has 0.693, too. A discriminator loss near 0 means that it tells the two apart without effort, and the
generator learns nothing more; a generator loss that climbs for long says the same. Samples that all look alike
are **mode collapse**: the losses may look healthy meanwhile. With a Wasserstein loss the negative critic loss
estimates a distance: it should fall, and its level compares within one critic only.""",
    "Intervals and what varied": """
A bar of 95 % holds the true value in 95 of 100 repetitions of *what was varied*, and nothing else. **Training
seed**: the same configuration trained again from other random numbers (t interval over n runs; with n = 2 it is
very wide, since t is 12.7). **Items**: the same model on test songs drawn again, by group (bootstrap).
**Split**: other songs in the test part. A bar over items says nothing about luck in training, and one over
seeds nothing about luck in the choice of songs. To compare two models on the same songs look at the interval of
their *difference*: it is narrower than their bars suggest. With 174 songs a correlation of 0.68 has a standard
error of 0.04.""",
    "Leaks": """
A score is honest only where nothing of the test part was learned from. A song, recording or singer on both
sides of a split lets a model recognise instead of understand: 30 s excerpts of one song are as good as copies.
Splits here keep groups together; `random:S` does not where items share a group, and is shown but never ranked.
Choosing the best of many runs by the **test** column makes it a second validation set; rank by validation and
read the test score once. The same holds for what was pre-trained, generated or normalised with test songs.""",
    "Baseline and ceiling": """
The **baseline** knows the training labels and has no ears: it predicts their mean (emotion) or their base rates
(instruments). A model that does not beat it has learned nothing. The **ceiling** is what a perfect model of the
average listener would reach on these labels: about ten people rated a song, so their mean is itself uncertain.
A score above the ceiling is a reason to look for a leak.""",
    "Do curves converge": """
A curve has converged where its last quarter is flat within its own noise, not where training stopped. Still
falling at the end: train longer before comparing, or compare at equal cost. Flat from the start: no learning.
Saw teeth of one epoch's length: the order of the batches shows. A sudden jump up with a gradient norm that rose
before it: divergence; lower the learning rate or clip. Smoothing hides both noise and jumps, so the raw line
stays visible behind it. Two curves compare by step where the updates, by epoch where the songs, by seconds
where the cost counts.""",
    "R² and CCC": """
They are different scales and are never ranked against each other. R² is the share of the labels' variance that
is explained: 0 is predicting the mean, below 0 is worse than that. CCC is 1 only where predictions equal the
labels; a model that orders songs well but squeezes them towards the middle loses CCC. A correlation r ignores
level and scale, so r² is never below R².""",
    "One run is no evidence": """
Two runs of one configuration differ by their seeds. Before saying that a knob helps, train several seeds with
and without it (the same seeds for both), and decide beforehand which score counts. Of twenty knobs that do
nothing one looks significant at the 5 % level.""",
}


HOW_TO_READ = {
    "answer": ("Answer of a statement (SQL)", "Its shape depends on your statement: read the axis titles first."),
    "interval": (
        "Scores with intervals (Leaderboard)",
        "Bars that overlap widely cannot be told apart by this data. Look at what the bar varies: seeds say how much "
        "luck the training had, items how much the choice of test items had.",
    ),
    "live": (
        "Live curves (Train)",
        "Judge by the validation line. Where it turns up while training goes on falling, the model learns by heart.",
    ),
    "overlay": (
        "Runs side by side (Leaderboard)",
        "Lines of one colour are seeds of one configuration: where they lie as far apart as two colours do, the "
        "difference is noise.",
    ),
    "balance": (
        "Class balance (Datasets)",
        "A class with few items is learned badly and scored unsurely; a score that averages items hides it, one that "
        "averages classes (macro) shows it.",
    ),
    "coverage": (
        "Coverage of the valence–arousal plane (Datasets)",
        "Where there is no colour a model has no example to learn from, and what it says there is a guess.",
    ),
    "distance": (
        "Raters and the rest (Datasets)",
        "A rater far to the right hears otherwise, turned a scale round, or did not listen: look before leaving one "
        "out.",
    ),
    "curve": (
        "Curves of one run (Run)",
        "The thin raw line shows jumps that smoothing hides. The gap says by how much training is better than "
        "validation: growing, it is over-fitting; below zero, training was measured while dropout, mixing or noise "
        "made it harder. Numbered lines are what happened then.",
    ),
}
"""What a chart is called and how to read it, by the name of its drawing function."""


def _tidy(text: str | None) -> str:
    """A docstring's paragraphs, each on one line."""
    return "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(text or "").split("\n\n"))


def reading() -> list[Entry]:
    """How to read numbers and pictures together."""
    return [Entry("How to read", name, _tidy(text)) for name, text in READING.items()]


def of_metrics() -> list[Entry]:
    """Every metric, from its docstring or what is said of it where it is reported."""
    found = []
    for metric in metrics.METRICS.values():
        better = "" if metric.better == "neither" else f" {metric.better.capitalize()} is better."
        source = f"\n\nSource: {metric.source}" if metric.source else ""
        text = f"{metric.sentence}\n\nRange {metric.range}; unit: {metric.unit}.{better}{source}"
        found.append(Entry("Metrics", metric.name, text))
    return found


def of_charts(modules: Iterable[ModuleType] = (charts, datacharts, runcurves)) -> list[Entry]:
    """Every chart, by what a reader calls it, from the docstring of the function that draws it.

    What is only for callers, its arguments, stands in `backquotes` and later paragraphs, and is left out.
    """
    found = []
    for module in modules:
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if name.endswith("_drawing") and name[0] != "_" and function.__module__ == module.__name__:
                short = name.removesuffix("_drawing")
                title, reading = HOW_TO_READ.get(short, (short.replace("_", " ").capitalize(), ""))
                what = _tidy(function.__doc__).partition("\n\n")[0].replace(" as an ECharts option", "")
                what = re.sub(r" \([^()]*`[^()]*\)", "", what)
                found.append(Entry("Charts", title, f"{what}\n\n{reading}".strip()))
    return found


def of_knobs(trainer: str, module: ModuleType) -> Entry:
    """A trainer: what it learns, and a table of its knobs."""
    rows = ["| knob | default | may be | meaning |", "|---|---|---|---|"]
    for name, knob in config.knobs(module.Config).items():
        hot = " Can move while it trains." if knob.hot else ""
        when = " and ".join(f"{k} is {' or '.join(map(str, v))}" for k, v in knob.when.items())
        only = f" Only where {when}." if when else ""
        cells = (name, f"{knob.default}", knob.range_text, f"{knob.sentence}{only}{hot}")
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    loss = f"\n\nIts loss: {module.LOSS}" if hasattr(module, "LOSS") else ""
    return Entry("Knobs", trainer, _tidy(module.__doc__) + loss + "\n\n" + "\n".join(rows))


def of_data() -> list[Entry]:
    """Every data set, from the docstring of its file."""
    found = []
    for name in datasets.names():
        module = datasets.module(name)
        tasks = f"\n\nTasks: {', '.join(module.TASKS)}." if getattr(module, "TASKS", ()) else ""
        found.append(Entry("Data", name, _tidy(module.__doc__) + tasks))
    return found


def search(entries: Iterable[Entry], words: str) -> list[Entry]:
    """The entries in which all `words` occur, those that are named so first; all of them where there are none."""
    wanted = words.lower().split()
    entries = list(entries)
    fits = [entry for entry in entries if all(word in f"{entry.name} {entry.text}".lower() for word in wanted)]
    if not wanted:
        return entries

    def order(entry: Entry) -> tuple[bool, bool]:
        name = entry.name.lower()
        return name != " ".join(wanted), not all(word in name for word in wanted)

    return sorted(fits, key=order)
