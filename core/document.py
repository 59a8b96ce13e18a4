"""A document as a list of blocks, written as one HTML file or one Markdown file that opens anywhere, also offline."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

from core.wording import number_text

MOST_ROWS = 200
LONG = 40
"""Characters from which on a cell of a table holds a sentence."""

STYLE = """
:root { color-scheme: light dark; --line: #cfd5d4; --soft: #eef0ee; --ink: #22282b; --page: #fafaf8; --warn: #8a5a00; }
@media (prefers-color-scheme: dark) {
  :root { --line: #3a4449; --soft: #1f262a; --ink: #e2e7e9; --page: #14191c; --warn: #f0b45a; } }
body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; color: var(--ink); background: var(--page);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.2rem; border-top: 1px solid var(--line);
  padding-top: 1rem; } h3 { font-size: 1.05rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .87rem; display: block;
  overflow-x: auto; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--line); text-align: left; white-space: nowrap; }
td.long { white-space: normal; min-width: 18rem; }
blockquote { margin: .6rem 0; padding: .4rem .9rem; border-left: 3px solid #1f6478; background: var(--soft); }
.warning { color: var(--warn); } figure { margin: 1rem 0; } figcaption { font-size: .85rem; opacity: .8; }
pre { background: var(--soft); padding: .8rem; overflow-x: auto; font-size: .82rem; } svg { max-width: 100%; }
"""


@dataclass(frozen=True)
class Block:
    """A part of a document. `kind` is "title", "heading", "subheading", "text", "quote" (a sentence to quote),
    "warning", "table", "figure" or "code"; `text` its words (of a figure: how to read it), `svg` and `language` as the
    kind needs."""

    kind: str
    text: str = ""
    table: pd.DataFrame | None = None
    svg: str = ""
    language: str = ""


def as_html(blocks: Sequence[Block]) -> str:
    """One file without scripts and links: figures stand in it as SVG. All text is escaped."""
    title = next((block.text for block in blocks if block.kind == "title"), "Report")
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = "\n".join(_html(block) for block in blocks)
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n'
    )


def as_markdown(blocks: Sequence[Block]) -> str:
    """The same as Markdown; figures are images within the text (data addresses), which some sites do not show."""
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def cells(table: pd.DataFrame) -> list[list[str]]:
    """The texts of a table's cells: numbers with four significant digits, "–" where there is none."""
    shown = table.head(MOST_ROWS)
    return [[_cell(value) for value in row] for row in shown.itertuples(index=False, name=None)]


def _cell(value: object) -> str:
    if value is None or value is pd.NA or (isinstance(value, float | np.floating) and np.isnan(value)):
        return "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return number_text(float(value), 4)
    return str(value)


def _cell_html(text: str) -> str:
    """A cell; a sentence is broken into lines, so that the table fits on paper."""
    return f"<td{' class=long' if len(text) > LONG else ''}>{escape(text)}</td>"


def _more(table: pd.DataFrame) -> str:
    return f"The first {MOST_ROWS} of {len(table):,} rows." if len(table) > MOST_ROWS else ""


def _html(block: Block) -> str:
    text = escape(block.text)
    match block.kind:
        case "title" | "heading" | "subheading":
            tag = {"title": "h1", "heading": "h2", "subheading": "h3"}[block.kind]
            return f"<{tag}>{text}</{tag}>"
        case "quote":
            return f"<blockquote>{text}</blockquote>"
        case "warning":
            return f'<p class="warning"><strong>Note:</strong> {text}</p>'
        case "figure":
            return f"<figure>{block.svg}<figcaption>{text}</figcaption></figure>"
        case "code":
            return f"<pre><code>{text}</code></pre>"
        case "table":
            assert block.table is not None
            head = "".join(f"<th>{escape(str(name))}</th>" for name in block.table.columns)
            rows = "".join("<tr>" + "".join(_cell_html(cell) for cell in row) + "</tr>" for row in cells(block.table))
            caption, more = (f"<p>{words}</p>" if words else "" for words in (text, _more(block.table)))
            return f"{caption}<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}"
    assert block.kind == "text", block.kind
    return f"<p>{text}</p>"


def _markdown(block: Block) -> str:
    text = _plain(block.text)
    match block.kind:
        case "title" | "heading" | "subheading":
            return f"{'#' * (1 + ('title', 'heading', 'subheading').index(block.kind))} {text}"
        case "quote":
            return f"> {text}"
        case "warning":
            return f"**Note:** {text}"
        case "figure":
            svg = block.svg.replace('fill="currentColor"', 'fill="#444"').replace('"currentColor"', '"#444"')
            picture = base64.b64encode(svg.encode()).decode()
            return f"![{text}](data:image/svg+xml;base64,{picture})\n\n*{text}*"
        case "code":
            fence = "```"
            while fence in block.text:
                fence += "`"
            return f"{fence}{block.language}\n{block.text.rstrip()}\n{fence}"
        case "table":
            assert block.table is not None
            rows = [[_plain(str(name)) for name in block.table.columns], ["---"] * len(block.table.columns)]
            rows += [[_plain(cell) for cell in row] for row in cells(block.table)]
            lines = ["| " + " | ".join(row) + " |" for row in rows]
            return "\n\n".join(part for part in (text, "\n".join(lines), _more(block.table)) if part)
    assert block.kind == "text", block.kind
    return text


def _plain(text: str) -> str:
    """Text that Markdown shows as it is written, on one line."""
    marked = "".join(f"\\{letter}" if letter in "\\`*_{}[]<>#|~$" else letter for letter in text)
    return " ".join(marked.split())
