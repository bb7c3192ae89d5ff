"""Tables for notebooks."""

from collections.abc import Iterable
from html import escape

__all__ = ["html_table"]


def html_table(rows: Iterable[Iterable[object]], caption: str = "", columns: Iterable[str] = ()) -> str:
    """Rows of cells as HTML, below the names of their `columns` if there are any; what would be markup in them is shown
    as it is."""
    head = f"<caption>{escape(caption)}</caption>" if caption else ""
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    head += f"<thead><tr>{names}</tr></thead>" if names else ""
    body = ("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{head}{''.join(body)}</table>"
