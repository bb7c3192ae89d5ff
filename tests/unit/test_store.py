"""The store keeps every row at once, under a key of its content, for any number of threads and runs."""

import csv
import io
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from mimtheory import store as store_module
from mimtheory.store import Store, content_key, fingerprint, print_rows, rows

IDENTITY = {"kind": "trial", "lemma": "A.2", "setting": {"d": 3}, "delta": 0.01, "rng": 0, "index": 0}


def row(index: int) -> dict[str, object]:
    setting = {"link": "h2(z1)", "loss": "l1", "d": 3, "n": 5}
    result = {"outcome": "holds", "ratio": 0.5, "measured": [1.0, 3.0], "stated": [2.0, 6.0], "allowance": [0.0, 0.1]}
    return {
        **IDENTITY,
        "setting": setting,
        "index": index,
        "seconds": 0.1,
        "version": "0",
        "command": "mimtheory verify A.2",
        "results": {"perp": result | {"worst": 1}},
    }


def test_a_row_is_found_again_by_another_run(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put("key", row(1))
    assert store.get("other") is None
    other = Store(tmp_path)  # while the first is still open
    assert other.get("key") == row(1)
    store.put("key", row(2))
    assert other.get("key") == row(2)
    assert len(list(other.rows())) == 1


def test_a_killed_run_keeps_what_it_wrote(tmp_path: Path) -> None:
    code = (
        "import os, sys; from mimtheory.store import Store; s = Store(sys.argv[1]);"
        "[s.put(str(i), {'i': i}) for i in range(7)]; os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert {r["i"] for r in Store(tmp_path).rows()} == set(range(7))


def test_threads_and_runs_may_write_at_the_same_time(tmp_path: Path) -> None:
    stores = [Store(tmp_path), Store(tmp_path)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: stores[i % 2].put(str(i), row(i)), range(80)))
    assert len(list(stores[0].rows())) == 80
    assert [r["index"] for r in rows(tmp_path)] == list(range(80))


def test_the_key_is_that_of_the_content_and_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    key = content_key(IDENTITY)
    assert key == content_key(dict(reversed(IDENTITY.items())))
    for field, value in IDENTITY.items():
        changed = {"d": 4} if field == "setting" else f"{value}1"
        assert content_key(IDENTITY | {field: changed}) != key
    monkeypatch.setattr(store_module, "fingerprint", lambda: "another")
    assert content_key(IDENTITY) != key
    monkeypatch.undo()
    monkeypatch.setattr(store_module, "SCHEMA", 99)
    assert content_key(IDENTITY) != key
    monkeypatch.undo()
    monkeypatch.setattr(store_module, "_libraries", lambda: {"numpy": "0.1"})
    assert content_key(IDENTITY) != key


def test_a_damaged_or_locked_store_is_an_error_that_names_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_PATIENCE", 0.01)
    store = Store(tmp_path)
    store.put("a", row(1))
    with closing(sqlite3.connect(tmp_path / "rows.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ValueError, match=rf"out = '{tmp_path}': database is locked; rows .* stay"):
            store.put("b", row(2))
        assert store.get("a") == row(1)
        other.execute("ROLLBACK")
        other.execute("DROP TABLE rows")
    asks: list[Callable[[], object]] = [
        lambda: store.get("a"),
        lambda: store.put("a", row(1)),
        lambda: list(store.rows()),
    ]
    for ask in asks:
        with pytest.raises(ValueError, match="no such table: rows"):
            ask()


def test_the_fingerprint_sees_the_statements_and_not_the_presentation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lemmas").mkdir()
    (tmp_path / "reporting").mkdir()
    for name in ("store.py", "cli.py", "lemmas/a.py", "reporting/page.py"):
        (tmp_path / name).write_text("1")
    monkeypatch.setattr(store_module, "__file__", str(tmp_path / "store.py"))
    try:
        fingerprint.cache_clear()
        first = fingerprint()
        for name, same in (("cli.py", True), ("reporting/page.py", True), ("lemmas/a.py", False)):
            (tmp_path / name).write_text("2")
            fingerprint.cache_clear()
            assert (fingerprint() == first) == same
    finally:
        fingerprint.cache_clear()


def test_rows_are_flat_with_the_worst_entry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Store(tmp_path).put("a", row(0))
    (flat,) = rows(tmp_path)
    assert (flat["claim"], flat["measured"], flat["stated"], flat["ratio"]) == ("perp", 3.0, 6.0, 0.5)
    assert (flat["link"], flat["d"], flat["outcome"]) == ("h2(z1)", 3, "holds")
    print_rows(tmp_path, as_csv=True)
    (line,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert line["stated"] == "6.0"
    print_rows(tmp_path, as_csv=False)
    assert json.loads(capsys.readouterr().out)["claim"] == "perp"


def test_rows_of_an_older_schema_are_read_and_those_of_a_later_one_refused(tmp_path: Path) -> None:
    Store(tmp_path).put("a", row(0))  # without a schema: written in schema 1
    Store(tmp_path).put("b", row(1) | {"schema": 2})
    assert len(rows(tmp_path)) == 2
    Store(tmp_path).put("c", row(2) | {"schema": 3, "version": "7.8.9"})
    with pytest.raises(ValueError, match=r"written by mimtheory 7\.8\.9 in schema 3; allowed: schema 1 to 2"):
        rows(tmp_path)


def test_folders_that_cannot_serve_are_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(ValueError, match=r"out = .* allowed: a writable folder"):
        Store(file)
    (tmp_path / "rows.sqlite").write_text("not a database, but long enough to be looked at" * 40)
    with pytest.raises(ValueError, match="out = "):
        Store(tmp_path)
    with pytest.raises(ValueError, match=r"no rows\.sqlite"):
        rows(tmp_path / "nothing")


def test_the_journal_is_a_write_ahead_log(tmp_path: Path) -> None:
    Store(tmp_path)
    (mode,) = sqlite3.connect(tmp_path / "rows.sqlite").execute("PRAGMA journal_mode").fetchone()
    assert mode == "wal"
