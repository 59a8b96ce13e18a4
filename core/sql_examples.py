"""Statements worth having, for the SQL page: each runs on an empty index, too."""

from __future__ import annotations

from typing import NamedTuple


class Example(NamedTuple):
    """A question, the statement that answers it, and how its chart is best drawn (columns; empty: none)."""

    question: str
    statement: str
    x: str = ""
    y: str = ""
    colour: str = ""


EXAMPLES = (
    Example(
        "Which configurations hear emotion best (CCC), and how sure is that?",
        """SELECT r.trainer, r.data, r.split, count(DISTINCT r.seed) AS seeds,
       avg(e.value) AS validation_ccc, avg(e.low) AS low, avg(e.high) AS high, any_value(r.config) AS config
FROM runs r JOIN evaluations e USING (run)
WHERE e.kind = 'model' AND e.part = 'validation' AND e.data = r.data AND e.split = r.split
  AND e.metric = 'ccc'
GROUP BY r.trainer, r.data, r.split, r.config_id
ORDER BY validation_ccc DESC""",
        "trainer", "validation_ccc", "data",
    ),
    Example(
        "How does the CCC depend on the learning rate?",
        """SELECT r.run, r.trainer, r.data, c.value::DOUBLE AS learning_rate, e.value AS validation_ccc
FROM configs c JOIN runs r USING (run) JOIN evaluations e USING (run)
WHERE c.name = 'learning_rate' AND e.kind = 'model' AND e.part = 'validation' AND e.data = r.data
  AND e.metric = 'ccc'
ORDER BY learning_rate""",
        "learning_rate", "validation_ccc", "trainer",
    ),
    Example(
        "Which runs took longest?",
        """SELECT run, trainer, data, device, round(seconds / 60, 1) AS minutes, items_per_s, epochs, peak_memory_mb
FROM runs WHERE seconds IS NOT NULL ORDER BY seconds DESC LIMIT 20""",
        "run", "minutes", "trainer",
    ),
    Example(
        "Where is the gap between training and validation widest?",
        """SELECT r.trainer, m.run, replace(m.name, 'train/', '') AS metric,
       arg_max(m.value, m.step) AS train, arg_max(v.value, v.step) AS validation, train - validation AS gap
FROM metrics m JOIN runs r USING (run)
JOIN metrics v ON v.run = m.run AND v.step = m.step AND v.name = replace(m.name, 'train/', 'validation/')
WHERE m.name IN ('train/ccc', 'train/macro_f1', 'train/loss')
GROUP BY ALL ORDER BY abs(gap) DESC""",
        "train", "validation", "trainer",
    ),
    Example(
        "Which runs diverged, failed or were lost, and why?",
        """SELECT run, state, trainer, data, reason, c.value AS learning_rate
FROM runs LEFT JOIN (FROM configs WHERE name = 'learning_rate') c USING (run)
WHERE state IN ('diverged', 'failed', 'lost') ORDER BY created_at DESC""",
    ),
    Example(
        "Which knob was tried at most values?",
        """SELECT r.trainer, c.name AS knob, count(DISTINCT c.value) AS tried,
       min(c.value) AS first, max(c.value) AS last
FROM configs c JOIN runs r USING (run) GROUP BY ALL HAVING tried > 1 ORDER BY tried DESC, knob""",
        "knob", "tried", "trainer",
    ),
    Example(
        "How many runs a day?",
        """SELECT created_at[:10] AS day, trainer, count(*) AS runs, round(sum(seconds) / 60, 1) AS minutes
FROM runs GROUP BY day, trainer ORDER BY day""",
        "day", "runs", "trainer",
    ),
    Example(
        "Which classes are recognised, and which are not?",
        """SELECT r.trainer, r.run, replace(e.metric, 'f1_', '') AS class, e.value AS f1, e.low, e.high, e.n_items
FROM evaluations e JOIN runs r USING (run)
WHERE e.kind = 'model' AND e.part = 'test' AND e.metric LIKE 'f1\\_%' ESCAPE '\\'
ORDER BY r.run, f1 DESC""",
        "class", "f1", "run",
    ),
    Example(
        "How do curves converge?",
        """SELECT run, epoch, value AS validation_loss FROM metrics
WHERE name = 'validation/loss' ORDER BY run, step""",
        "epoch", "validation_loss", "run",
    ),
    Example(
        "What was changed by hand while a run trained?",
        """SELECT run, step, kind, detail FROM events
WHERE kind IN ('changed', 'changes', 'paused', 'resumed', 'branched', 'rewound') ORDER BY t DESC""",
    ),
)  # fmt: skip
