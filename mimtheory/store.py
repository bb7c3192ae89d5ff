"""Rows of trials in SQLite (write-ahead log), keyed by their content: a run that stops loses nothing and resumes."""

import csv
import hashlib
import json
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from mimtheory.environment import versions
from mimtheory.verdicts import SCHEMA, check_schema

__all__ = ["Store", "content_key", "fingerprint", "print_rows", "rows"]

_PATIENCE = 60.0  # seconds to wait for another writer
_SETTING_FIELDS = (
    *("link", "loss", "d", "n", "activation", "m", "T1", "eta1", "beta1", "eta_last", "eps0", "a_scale"),
    *("centre", "label_noise"),
)


@lru_cache(maxsize=1)
def fingerprint() -> str:
    """Hash of the source that decides what a row holds: rows of other code are never taken for this code's."""
    root = Path(__file__).parent
    presentation = {"cli.py", "terminal.py", "reporting", "plans", "__pycache__"}
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if relative.parts[0] not in presentation:
            digest.update(relative.as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def content_key(identity: dict[str, Any]) -> str:
    """Key of the row that `identity` determines: what was run, on which draw, by which code and libraries, in which
    schema."""
    made = {"schema": SCHEMA, "code": fingerprint(), "libraries": _libraries()}
    return hashlib.sha256(json.dumps(identity | made, sort_keys=True).encode()).hexdigest()


_libraries = lru_cache(maxsize=1)(versions)


class Store:
    """The rows of one output folder, in ``rows.sqlite``.

    Parameters
    ----------
    folder : path
        Made if it does not exist.

    Raises
    ------
    ValueError
        If the folder cannot be written or the file is not such a store; later, from any method, if the disk is full or
        another program damages the file or holds it for a minute.
    """

    def __init__(self, folder: "str | Path") -> None:
        self.folder = Path(folder)
        self._lock = threading.Lock()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.folder / "rows.sqlite", _PATIENCE, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute("CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, json TEXT NOT NULL)")
            self._connection.commit()
        except (OSError, sqlite3.Error) as problem:
            raise ValueError(f"out = {str(folder)!r} cannot be used: {problem}; allowed: a writable folder") from None

    @contextmanager
    def _asked(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock, self._connection:
                yield self._connection
        except sqlite3.Error as problem:
            raise ValueError(
                f"out = {str(self.folder)!r}: {problem}; rows that were written stay; "
                "allowed: a folder with room, whose rows.sqlite nothing else damages or locks"
            ) from None

    def get(self, key: str) -> dict[str, Any] | None:
        """The row of that key, or None."""
        with self._asked() as connection:
            found = connection.execute("SELECT json FROM rows WHERE key = ?", (key,)).fetchone()
        return None if found is None else json.loads(found[0])

    def put(self, key: str, row: dict[str, Any]) -> None:
        """Write a row at once, so that a killed run keeps it."""
        with self._asked() as connection:
            connection.execute("INSERT OR REPLACE INTO rows VALUES (?, ?)", (key, json.dumps(row)))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Every row, in the order of its key."""
        with self._asked() as connection:
            texts = connection.execute("SELECT json FROM rows ORDER BY key").fetchall()
        return (json.loads(text) for (text,) in texts)

    def close(self) -> None:
        self._connection.close()


def rows(folder: "str | Path") -> list[dict[str, Any]]:
    """Every stored trial as a flat table: one dict a claim, with the worst entry of a vector claim.

    Parameters
    ----------
    folder : path
        The output folder of an earlier `mimtheory verify`.

    Raises
    ------
    ValueError
        If the folder holds no rows, or rows that a later version wrote.
    """
    if not (Path(folder) / "rows.sqlite").is_file():
        raise ValueError(f"folder = {str(folder)!r} has no rows.sqlite; allowed: the --out folder of mimtheory verify")
    store = Store(folder)
    stored = list(store.rows())
    store.close()
    for row in stored:
        check_schema(f"a row of {str(folder)!r}", row.get("schema", 1), row["version"])
    flat = [_flat(row, name, result) for row in stored for name, result in row["results"].items()]
    return sorted(flat, key=lambda r: (r["lemma"], r["kind"], str(r["claim"]), str(r["link"]), r["d"] or 0, r["index"]))


def _flat(row: dict[str, Any], name: str, result: dict[str, Any]) -> dict[str, Any]:
    claim, _, control = name.partition("/")
    setting = row["setting"] or dict.fromkeys(_SETTING_FIELDS)
    worst = result.get("worst")
    sides = {side: None if worst is None else result[side][worst] for side in ("measured", "stated", "allowance")}
    return {
        "kind": row["kind"],
        "lemma": row["lemma"],
        "claim": claim,
        "control": control,
        **setting,
        **{key: row[key] for key in ("delta", "rng", "index")},
        "outcome": result.get("outcome", "violated" if result.get("found") else "holds"),
        "ratio": result["ratio"],
        **sides,
        **{key: row[key] for key in ("seconds", "version", "command")},
    }


def print_rows(folder: "str | Path", as_csv: bool) -> None:
    """Write `rows` to standard output, as CSV or as one JSON object a line."""
    table = rows(folder)
    if not as_csv:
        for row in table:
            print(json.dumps(row))
        return
    writer = csv.DictWriter(sys.stdout, fieldnames=list(table[0]) if table else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
