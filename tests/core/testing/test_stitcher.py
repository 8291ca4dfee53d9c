"""The contract of stitchers finds what is broken, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

CANCELLED = {
    "a join that is cancelled leaves nothing unfinished",
    "a join that is cancelled leaves an earlier film whole",
}
UNREADABLE = {
    "a part that is missing is named",
    "a part that is no film makes no film",
    "half a part makes no film",
}
FAILS = {
    "TestText": set(),
    "TestForgetful": {
        "the film is the parts one after the other",
        "parts are joined in the order of the specification",
        "the film s path size and digest are told",
        "joining twice gives the same frames",
        "one stitcher joins two films at once",
        "a job is joined by it",
        "a job fails when its parts cannot be joined",
        "parts may have any name",
        "the film may have any name",
        "parts and film may lie in folders",
        "paths may be absolute",
        "relative paths are relative to the job directory",
        "an earlier film is replaced in one step",
        *UNREADABLE,
        *CANCELLED,
    },
    "TestSorting": {"parts are joined in the order of the specification", "parts may have any name"},
    "TestSkipping": {"a job fails when its parts cannot be joined", *UNREADABLE},
    "TestVague": {"a job fails when its parts cannot be joined", "a part that is missing is named"},
    "TestDirect": {"an earlier film is replaced in one step", *CANCELLED},
    "TestLittering": {"no parts make no film", *UNREADABLE, *CANCELLED},
    "TestBoasting": {"the film s path size and digest are told"},
}


def test_each_broken_stitcher_fails_the_points_that_it_breaks(failing: Callable[[str], dict[str, set[str]]]):
    assert failing("broken_stitchers.py") == FAILS
