"""Tables for notebooks show text as it is."""

from mimtheory.html_tables import html_table


def test_what_would_be_markup_is_escaped() -> None:
    page = html_table([("n <= d", 1), ("<b>", "R & D")], "a < b")
    rows = "<tr><td>n &lt;= d</td><td>1</td></tr><tr><td>&lt;b&gt;</td><td>R &amp; D</td></tr>"
    assert page == f"<table><caption>a &lt; b</caption>{rows}</table>"
    assert html_table([]) == "<table></table>"
