"""The line in which a key of a TOML file stands: tomllib tells lines only where the text is no TOML at all."""

from __future__ import annotations

import re
import tomllib
from typing import Any

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?")
_PART = re.compile(r"\"[^\"]*\"|'[^']*'|[A-Za-z0-9_-]+")
_KEY = re.compile(rf"\s*((?:{_PART.pattern})(?:\s*\.\s*(?:{_PART.pattern}))*)\s*=")
_PLAIN = {
    "Invalid value": 'what stands there is neither a number, true, false, a "text" in quotes nor a [list, of, these]',
    "Unclosed array": "a list is not closed by ], or has no comma between two values",
    "Cannot overwrite a value": "this name has a value already",
    "Expected '=' after a key in a key/value pair": "after a name comes = and its value",
    "Invalid statement": "a line begins with a name, [a header] or a # comment",
}
"""What Python's reader says, in words for who never read of TOML; what is rarer keeps its own."""
_OPEN = {"[": 1, "{": 1, "]": -1, "}": -1}


def load(text: str) -> dict[str, Any]:
    """The file as nested dicts; ValueError with the line where it is no TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said, _, place = str(error).partition(" (at ")
        number = int(place.split()[1].rstrip(",")) if place.startswith("line ") else len(text.splitlines()) or 1
        raise ValueError(f"line {number}: {_PLAIN.get(said, said)}.") from None


def lines(text: str) -> dict[str, int]:
    """Dotted key → line (from 1), headers included; the n-th `[[stages]]` is `stages[n]`, n from 0."""
    found: dict[str, int] = {}
    counts: dict[str, int] = {}
    head, depth, quote = "", 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if depth == 0 and not quote:
            header, key = _HEADER.match(line), _KEY.match(line)
            if header:
                head = _path(header[2])
                if header[1] == "[[":
                    counts[head] = counts.get(head, -1) + 1
                    head = f"{head}[{counts[head]}]"
                else:  # [stages.set] belongs to the last [[stages]]
                    first, dot, rest = head.partition(".")
                    head = f"{first}[{counts[first]}]{dot}{rest}" if first in counts else head
                found.setdefault(head, number)
                continue
            if key:
                found.setdefault(f"{head}.{_path(key[1])}" if head else _path(key[1]), number)
                line = line[key.end() :]
        depth, quote = _scan(line, depth, quote)
    return found


def _path(written: str) -> str:
    return ".".join(part.strip("\"'") for part in _PART.findall(written))


def _scan(line: str, depth: int, quote: str) -> tuple[int, str]:
    """How deep in brackets the line ends, and in which kind of text that runs on (three quotes), if in any."""
    at = 0
    while at < len(line):
        if quote:
            if quote[0] == '"' and line[at] == "\\":
                at += 2
                continue
            if line.startswith(quote, at):
                at, quote = at + len(quote), ""
                continue
        elif line[at] == "#":
            break
        elif line[at] in "\"'":
            quote = line[at] * 3 if line.startswith(line[at] * 3, at) else line[at]
            at += len(quote)
            continue
        else:
            depth += _OPEN.get(line[at], 0)
        at += 1
    return depth, quote if len(quote) == 3 else ""
