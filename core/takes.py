"""One pass of a listener over a clip, and what stands of all of them; checked, because it comes from a browser."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

LOW, HIGH = 1.0, 9.0
MOMENTS_MOST = 10_000
"""More than an hour at two a second; what sends more is no trace of a clip."""

_TAKE_ID = re.compile(r"[a-z0-9-]{1,40}")


@dataclass(frozen=True)
class Take:
    """One pass over a clip. A "trace" has valence and arousal (1–9) at `times_s` seconds of the audio; a "song" has
    one value of each and no times."""

    id: str
    kind: str
    times_s: tuple[float, ...]
    valence: tuple[float, ...]
    arousal: tuple[float, ...]
    at: str = ""


@dataclass(frozen=True)
class Rating:
    """What one rater says about one clip now. `takes` stand in the order they were made; `instruments` are IRMAS
    codes, empty for "none of the eleven", None where not said."""

    clip: str
    rater: str
    takes: tuple[Take, ...] = ()
    instruments: tuple[str, ...] | None = None
    can_undo: bool = False
    can_redo: bool = False

    def newest(self, kind: str) -> Take | None:
        """The take of this kind that counts: the last one made."""
        return next((take for take in reversed(self.takes) if take.kind == kind), None)

    @property
    def song(self) -> tuple[float, float] | None:
        """Valence and arousal for the whole clip: as given for the song, else the mean of the trace."""
        take = self.newest("song") or self.newest("trace")
        if take is None or not take.valence:
            return None
        return sum(take.valence) / len(take.valence), sum(take.arousal) / len(take.arousal)


def rating(sha256: str, stored: dict[str, Any]) -> Rating:
    """What stands in a stored file; KeyError, TypeError, ValueError or AttributeError where it is no such file."""
    takes = []
    for take in stored["now"]["takes"]:
        about = stored["takes"][take]
        times_s, valence, arousal = (tuple(map(float, about[key])) for key in ("times_s", "valence", "arousal"))
        takes.append(Take(take, str(about["kind"]), times_s, valence, arousal, str(about["at"])))
    codes = stored["now"]["instruments"]
    steps = bool(stored["undo"]), bool(stored["redo"])
    return Rating(sha256, str(stored["rater"]), tuple(takes), None if codes is None else tuple(codes), *steps)


def checked(take: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """A take from outside, rounded to a thousandth; ValueError as in `ratings.put`."""
    try:
        name, kind = str(take["id"]), str(take["kind"])
        times, valence, arousal = ([float(x) for x in take[key]] for key in ("times_s", "valence", "arousal"))
    except (KeyError, TypeError, ValueError, OverflowError):
        raise ValueError("That is no take: it needs id, kind, times_s, valence and arousal.") from None
    if not _TAKE_ID.fullmatch(name) or kind not in ("trace", "song"):
        raise ValueError(f"That is no take: its id is {name[:50]!r} and its kind {kind[:20]!r}.")
    moments = len(times) if kind == "trace" else 1
    fits = len(valence) == len(arousal) == moments and not (kind == "song" and times)
    if not fits or not 1 <= moments <= MOMENTS_MOST:
        raise ValueError(f"A {kind} needs as many values as moments ({MOMENTS_MOST:,} at most, one for a song).")
    rising = all(earlier < later for earlier, later in pairwise(times))
    if not rising or (times and not (times[0] >= 0 and times[-1] <= seconds + 0.5)):
        raise ValueError("The moments of a trace must rise and lie within the clip.")
    if not all(LOW <= value <= HIGH for value in valence + arousal):
        raise ValueError(f"Valence and arousal must lie between {LOW:g} and {HIGH:g}.")
    rounded = {"times_s": times, "valence": valence, "arousal": arousal}
    return {"id": name, "kind": kind} | {key: [round(x, 3) for x in values] for key, values in rounded.items()}
