"""What tests of formats share: files with a content, and rows of a table as plain lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


def rows(turns: pd.DataFrame, *names: str) -> list[list[Any]]:
    return turns[["start", "end", "speaker", *names]].to_numpy().tolist()


def saved(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path
