"""Runs the notebooks and stores what their cells answer: `python -m docs.run_notebooks`.

A cell answers with what it prints and, where its last line is an expression, with the value of that. Times are left
out, so that a second run stores the same; a test runs the notebooks and compares.
"""

import ast
import contextlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["NOTEBOOKS", "answers", "store"]

NOTEBOOKS = sorted((Path(__file__).parent / "notebooks").glob("*.ipynb"))
_RICH = {"text/html": "_repr_html_", "text/latex": "_repr_latex_"}


def answers(notebook: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The outputs of every code cell, in the notebook's own format; the cells run in order, in one namespace."""
    space: dict[str, Any] = {}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [list(_outputs("".join(cell["source"]), i, space)) for i, cell in enumerate(cells, 1)]


def _outputs(source: str, count: int, space: dict[str, Any]) -> Iterator[dict[str, Any]]:
    tree, printed, value = ast.parse(source), io.StringIO(), None
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, f"cell {count}", "exec"), space)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), f"cell {count}", "eval"), space)
    if printed.getvalue():
        yield {"name": "stdout", "output_type": "stream", "text": _lines(printed.getvalue())}
    if value is not None:
        shown = {kind: getattr(value, method)() for kind, method in _RICH.items() if hasattr(value, method)}
        data = {kind: _lines(text) for kind, text in (shown | {"text/plain": repr(value)}).items()}
        yield {"data": data, "execution_count": count, "metadata": {}, "output_type": "execute_result"}


def _lines(text: str) -> list[str]:
    """Without the time that something took, which is another one in every run."""
    return re.sub(r", [\d.e-]+ s\)", ")", text).splitlines(keepends=True)


def store(path: Path) -> None:
    """Run a notebook and write its outputs into it."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for count, (cell, outputs) in enumerate(zip(cells, answers(notebook), strict=True), 1):
        cell |= {"execution_count": count, "outputs": outputs}
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    for path in NOTEBOOKS:
        store(path)
