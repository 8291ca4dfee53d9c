"""`from heliostat import …`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import heliostat

# Fixed in the design; what is exported beyond these may change.
PROMISED = {
    "Chunk",
    "ChunkReport",
    "ChunkRequest",
    "ChunkResult",
    "ArtifactStore",
    "JobExecutionOptions",
    "JobExecutor",
    "JobManager",
    "JobRepository",
    "JobSpec",
    "Merge",
    "Metadata",
    "ProgressSink",
    "Stitcher",
    "WorkerAdapter",
    "WorkerLimits",
    "hookimpl",
    "load_spec",
    "open_repository",
}


def test_all_lists_the_promised_names_in_order_and_once() -> None:
    assert set(heliostat.__all__) >= PROMISED
    assert sorted(set(heliostat.__all__)) == heliostat.__all__


@pytest.mark.parametrize("name", heliostat.__all__)
def test_every_name_can_be_imported(name: str) -> None:
    value = getattr(heliostat, name)
    if name not in ("__version__", "hookimpl", "Event"):
        assert value.__name__ == name
        assert value.__module__.startswith("heliostat.")


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'heliostat' has no attribute 'JobExecuter'"):
        heliostat.JobExecuter  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'JobExecuter'"):
        exec("from heliostat import JobExecuter")


def test_importing_the_package_imports_nothing_else() -> None:
    program = "import sys, heliostat; print(sorted(m for m in sys.modules if m.startswith(('heliostat', 'msgspec'))))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "['heliostat', 'heliostat.lazy']"


def test_the_package_is_typed() -> None:
    assert heliostat.__file__ is not None
    assert (Path(heliostat.__file__).parent / "py.typed").exists()
