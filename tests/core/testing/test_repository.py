"""The contract of repositories finds what is broken, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

FAILS = {
    "TestEndless": {
        "jobs are found by a part of their name",
        "jobs are listed newest first",
        "jobs are listed without their chunks",
        "only jobs in the states asked for are listed",
    },
    "TestDeaf": {"a wish reaches the coordinator", "a pause does not replace a cancel"},
    "TestWelcoming": {"an id is taken once"},
    "TestTorn": {"a chunk is counted once and in its turn"},
    "TestGenerous": {
        "a job has one coordinator",
        "of many that want a job one gets it",
        "a job whose coordinator is known to be dead can be taken over",
        "an empty commit renews the lease",
    },
    "TestStuttering": {"the same batch again changes nothing"},
    "TestHasty": {"a chunk is counted once and in its turn", "who has lost the lease writes nothing"},
    "TestSorted": {"what happened is journaled in its order", "a withdrawal leaves the journal as it is"},
    "TestChatty": {"there is no entry where nothing happened", "who has lost the lease writes nothing"},
    "TestShort": {"a journal comes in pages"},
    "TestLossy": {"events are journaled as they were"},
    "TestRenumbering": {"a withdrawal leaves the journal as it is"},
    "TestExact": {"jobs are found by a part of their name", "jobs are counted by their state"},
    "TestApproximate": {"attempt rows come in pages", "attempts are found by their keys"},
}


def test_each_broken_repository_fails_the_points_that_it_breaks(failing: Callable[[str], dict[str, set[str]]]):
    assert failing("broken_repositories.py") == FAILS
