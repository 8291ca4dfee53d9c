"""The contract of artifact stores finds what is broken, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

FAILS = {
    "TestGreedy": {
        "with if absent what is there stays",
        "of many that put if absent one wins and all are told",
    },
    "TestHalving": {
        "a large file is an artifact",
        "of many that put if absent one wins and all are told",
        "a put that is cancelled leaves the earlier or the new artifact",
        "a get that is cancelled leaves the earlier file or the whole",
    },
    "TestPaging": {"many artifacts are all listed and all deleted"},
    "TestFoldered": {"list finds all whose key begins so by key"},
    "TestAbrupt": {
        "what is not stored cannot be got",
        "a get that fails leaves the destination as it was",
        "what is no key is refused",
        "what was deleted can be put again",
    },
    "TestDirect": {
        "what is not stored cannot be got",
        "a get that fails leaves the destination as it was",
        "what is no key is refused",
        "a get that is cancelled leaves the earlier file or the whole",
    },
    "TestLeaving": {
        "a put that is cancelled stores the whole or nothing",
        "a put that is cancelled leaves the earlier or the new artifact",
    },
    "TestTrusting": {"what is no key is refused"},
}


def test_each_broken_store_fails_the_points_that_it_breaks(failing: Callable[[str], dict[str, set[str]]]):
    assert failing("broken_stores.py") == FAILS
