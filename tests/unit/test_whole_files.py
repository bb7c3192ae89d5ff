"""A file is written whole, or what stood there before stays."""

from pathlib import Path

import pytest

from mimtheory.whole_files import write_whole


def test_a_text_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_whole(path, "first, δ\n")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "second \udcfc")
    assert path.read_bytes() == "first, δ\n".encode()
    assert list(tmp_path.iterdir()) == [path]
