"""The report: one self-contained HTML page made from a `Report`. Needs the optional libraries of the extra `report`."""

try:
    from mimtheory.reporting.page import render, write_page
except ModuleNotFoundError as missing:
    # a module of our own that is missing is a fault of this package and must not be reported as a missing extra
    if (missing.name or "").split(".")[0] not in ("jinja2", "markupsafe", "matplotlib", "latex2mathml"):
        raise
    raise ImportError(
        "the report needs the extra [report]: pip install '.[report]' in a checkout", name=missing.name
    ) from missing

__all__ = ["render", "write_page"]
