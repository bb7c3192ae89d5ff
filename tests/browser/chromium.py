"""Chromium without a window: what it lays out of a set of pages, and the PDF it prints.

One start of the browser measures every page at every width: the pages stand in frames of one page of ours, which may
look into them but lets no script of theirs run, and no name can be resolved but that of the local server.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

__all__ = ["measured", "printed"]

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
_SCRIPT = (Path(__file__).parent / "measure.js").read_text(encoding="utf-8")


class _Quiet(SimpleHTTPRequestHandler):
    asked: list[str]

    def log_message(self, *words: object) -> None:
        self.asked.append(self.path)


@contextlib.contextmanager
def _served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """(address, paths asked for) of a local server of the files in a folder."""
    asked: list[str] = []
    handler = type("Handler", (_Quiet,), {"asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _chromium(home: Path, *words: str) -> str:
    """What Chromium prints; the test is skipped where there is none."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(_NAMES)} is installed")
    command = [found, "--headless", "--disable-gpu", "--no-first-run", "--hide-scrollbars", f"--user-data-dir={home}"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--window-size=1400,1000"]
    command += ["--no-sandbox"] if os.getuid() == 0 else []  # root, as in a container, has no sandbox
    run = subprocess.run([*command, *words], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return run.stdout


def measured(folder: Path, pages: Sequence[str], views: Sequence[dict[str, Any]], home: Path) -> list[dict[str, Any]]:
    """What measure.js says of every page (a path in the folder) in every view.

    Parameters
    ----------
    views : sequence of dict
        width : int, in CSS pixels; scheme : "light" or "dark"; media : "screen" or "print".
    """
    frames = [{"page": page, **view} for page in pages for view in views]
    harness = folder / "harness.html"
    harness.write_text(
        f"<!DOCTYPE html><meta charset=utf-8><body><script>const FRAMES = {json.dumps(frames)};\n{_SCRIPT}</script>"
    )
    with _served(folder) as (address, asked):
        dom = _chromium(home, "--dump-dom", f"{address}/harness.html")
    harness.unlink()
    found = re.search(r'<pre id="measured">(.*?)</pre>', dom, re.DOTALL)
    assert found, dom[-2000:]
    missing = [path for path in asked if not (folder / path.lstrip("/")).is_file() and "harness" not in path]
    assert set(missing) <= {"/favicon.ico"}
    rows: list[dict[str, Any]] = json.loads(unescape(found[1]))
    return rows


def printed(page: Path, home: Path) -> bytes:
    """The page as PDF."""
    target = home / "page.pdf"
    _chromium(home, f"--print-to-pdf={target}", "--no-pdf-header-footer", page.as_uri())
    return target.read_bytes()
