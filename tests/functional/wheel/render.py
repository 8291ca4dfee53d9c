"""Writes the numbers of its frames."""

import sys
from pathlib import Path

start, count, output = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
Path(output).write_text(" ".join(str(start + n) for n in range(count)))
