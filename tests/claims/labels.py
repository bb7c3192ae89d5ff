"""Which claims a file of tests names, read off its source: the same whichever of its tests run."""

import ast
import re
from pathlib import Path


def labels_in(file: str) -> set[str]:
    """The texts of a file of Python that are labels of claims in shape, such as "A.4/max_q"."""
    nodes = ast.walk(ast.parse(Path(file).read_text(encoding="utf-8")))
    texts = (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return {text for text in texts if re.fullmatch(r"[A-Z][a-z]*[\d.]+/\w+", text)}
