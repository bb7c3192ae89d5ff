"""``python -m mimtheory`` is the command ``mimtheory``."""

from mimtheory.cli import main

main()
