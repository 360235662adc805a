"""Write the pages that are made from the code: the reference, the tables of engines and formats, the tutorials.

They go to ``docs/reference`` and ``docs/tutorials``, which git ignores.
"""

from __future__ import annotations

import importlib
import inspect
import re
import shutil
from pathlib import Path
from types import ModuleType

import diarnb
from diarnb import engines
from diarnb.formats import FORMATS, READ_ONLY
from diarnb.formats.makers import MAKERS

HERE = Path(__file__).parent
ROOT = HERE.parent
REPOSITORY = "https://github.com/diarnb/diarnb/blob/main/"
STUB = ROOT / "diarnb" / "__init__.pyi"


def write_all() -> None:
    """Write everything anew."""
    for folder in ("reference", "tutorials"):
        shutil.rmtree(HERE / folder, ignore_errors=True)
        (HERE / folder).mkdir()
    write_tutorials()
    write_reference()
    changes = adapt_links((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), here="../")
    (HERE / "reference" / "changelog.md").write_text(changes, encoding="utf-8")
    (HERE / "reference" / "engine-table.md").write_text(engine_table(), encoding="utf-8")
    (HERE / "reference" / "format-table.md").write_text(format_table(), encoding="utf-8")


def write_tutorials() -> None:
    """Copy the notebooks."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        shutil.copy(path, HERE / "tutorials")


def adapt_links(text: str, *, here: str = "") -> str:
    """Turn links that hold in the repository, where these files are read as well, into links that hold in the site."""
    text = re.sub(r"\]\((?:\.\./)?notebooks/", f"]({here}tutorials/", text)
    text = re.sub(r"\]\((?:\.\./)?docs/", f"]({here}", text)
    elsewhere = r"\]\((?:\.\./)*((?:CONTRIBUTING|RELEASING|SECURITY)\.md|benchmarks/[\w.]*)"
    return re.sub(elsewhere, rf"]({REPOSITORY}\1", text)


def groups() -> dict[str, list[str]]:
    """Return the public names in the groups of the stub, by the comments that head them there."""
    found: dict[str, list[str]] = {}
    title = ""
    for line in STUB.read_text(encoding="utf-8").splitlines()[2:]:
        if line.startswith("# "):
            title = line.removeprefix("# ")
        elif names := re.findall(r"(\w+) as \w+", line):
            found.setdefault(title, []).extend(names)
    return found


def write_reference() -> None:
    """Write a page for the verbs, and one for each documented module."""
    parts = groups()
    modules = [name for names in parts.values() for name in names if isinstance(getattr(diarnb, name), ModuleType)]
    verbs = {title: [name for name in names if name not in modules] for title, names in parts.items()}
    lines = ["# Reference", "", "All public names. The functions that most people need are in `diarnb` itself:", ""]
    for title, names in verbs.items():
        if names:
            lines += [f"## {title}", "", *summary([f"diarnb.{name}" for name in names])]
    lines += ["## More, by topic", "", "```{toctree}", ":maxdepth: 1", "", *modules, "engines.base", "```", ""]
    (HERE / "reference" / "index.md").write_text("\n".join(lines), encoding="utf-8")
    for name in [*modules, "engines.base"]:
        write_module(f"diarnb.{name}", set(diarnb.__all__))


def write_module(name: str, elsewhere: set[str]) -> None:
    """Write the page of a module: what it says of itself, and its names, but those that `diarnb` has itself."""
    module = importlib.import_module(name)
    heading = f"{name}\n{'=' * len(name)}\n\n"
    text = f"{heading}.. automodule:: {name}\n   :no-members:\n\n"
    classes = name == "diarnb.errors"
    names = module.__all__ if classes else [each for each in module.__all__ if each not in elsewhere]
    shown = [each for each in names if callable(getattr(module, each)) and inspect.getdoc(getattr(module, each))]
    if classes:
        text += "".join(f".. autoexception:: {name}.{each}\n   :show-inheritance:\n\n" for each in shown)
    else:
        text += "\n".join(summary(shown)[1:-2])
    if also := [each for each in module.__all__ if each in elsewhere]:
        text += "\n\nAlso here: " + ", ".join(f":py:obj:`diarnb.{each}`" for each in also) + ".\n"
    (HERE / "reference" / f"{name.removeprefix('diarnb.')}.rst").write_text(text, encoding="utf-8")


def summary(names: list[str]) -> list[str]:
    """Write a table of names with their first lines, and a page for each."""
    return ["```{eval-rst}", ".. autosummary::", "   :toctree: names", "", *(f"   {name}" for name in names), "```", ""]


def engine_table() -> str:
    """Write what each engine offers, as the engines say themselves."""
    rows = {
        "exact, minimum and maximum number of speakers": "count",
        "its own exclusive turns": "exclusive",
        "scores of frames (`confidence=True`)": "confidence",
        "scores of turns (`turn_level_confidence=True`)": "turn_level_confidence",
        "separate channels, or one of them": "channels",
    }
    offers = {name: engines.get(name).offer for name in engines.NAMES}
    lines = [f"| | {' | '.join(offers)} |", "| --- " * (len(offers) + 1) + "|"]
    for title, field in rows.items():
        lines.append(f"| {title} | {' | '.join('yes' if getattr(each, field) else 'no' for each in offers.values())} |")
    lines.append(f"| models | {' | '.join(', '.join(each.models[:6]) for each in offers.values())} |")
    page = [
        "# What each engine supports",
        "",
        "An engine refuses what it does not support, and names it.",
        "",
    ]
    page += [*lines, ""]
    for name, offer in offers.items():
        if offer.model_help:
            page += [f"## Models of `engine={name!r}`", "", "| model | | |", "| --- | --- | --- |"]
            page += [f"| `{model}` | {label} | {told} |" for model, (label, told) in offer.model_help.items()]
            page.append("")
        page += [f"## Options of `engine={name!r}`", "", "| option | |", "| --- | --- |"]
        page += [f"| `{option}` | {each.help.replace('|', chr(92) + '|')} |" for option, each in offer.options.items()]
        page.append("")
    return "\n".join(page)


def format_table() -> str:
    """Write what each format reads, and what comes back of what is written to it, by the formats themselves."""
    page = ["# Files", "", "The suffix decides the format that `diarnb.read` and `diarnb.write` use.", ""]
    page += ["## What can be read", "", "| suffix | |", "| --- | --- |"]
    page += [f"| `{suffix}` | {escape(form.READS)} |" for suffix, form in FORMATS.items()]
    page += ["", "## Tools whose JSON can be read", "", "Recognized by their own keys, in `.json` and `.jsonl`: "]
    page[-1] += f"{', '.join(dict.fromkeys(escape(maker.name) for maker in MAKERS))}."
    page += ["", "## What a written file keeps", ""]
    page += ["| suffix | times | names | text | confidence | words | also |", "| --- " * 7 + "|"]
    for suffix, form in FORMATS.items():
        if form.HOLDS is not None and suffix not in READ_ONLY:
            told = {True: "yes", False: "-"}
            cells = [told.get(cell, cell) if isinstance(cell, bool) else cell for cell in form.HOLDS]
            page.append(f"| `{suffix}` | {' | '.join(escape(cell) for cell in cells)} |")
    return "\n".join([*page, ""])


def escape(text: str) -> str:
    """Make a text a table's cell."""
    return " ".join(text.split()).replace("|", "\\|").replace("``", "`")
