"""What is read once for all browsers that look at the same."""

from __future__ import annotations

import asyncio

from heliostat.studio.page.sharing import Sharing


class Followed:
    def __init__(self, key: str) -> None:
        self.key = key
        self.is_gone = False
        self.is_followed = False

    async def run(self) -> None:
        self.is_followed = True
        try:
            await asyncio.Event().wait()
        finally:
            self.is_followed = False


async def until(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


async def test_all_who_look_at_the_same_share_it() -> None:
    sharing = Sharing(Followed)
    with sharing.looking_at("a") as one, sharing.looking_at("a") as other, sharing.looking_at("b") as third:
        assert one is other
        assert third is not one
        assert len(sharing) == 2
    sharing.close()
    assert len(sharing) == 0


async def test_it_is_followed_until_a_while_after_the_last_has_left() -> None:
    sharing = Sharing(Followed, linger=0.05)
    with sharing.looking_at("a") as found:
        await until(lambda: found.is_followed)
    assert len(sharing) == 1
    with sharing.looking_at("a") as again:  # in time
        assert again is found
    await until(lambda: not len(sharing))
    await until(lambda: not found.is_followed)


async def test_what_is_gone_is_looked_for_anew() -> None:
    sharing = Sharing(Followed)
    with sharing.looking_at("a") as found:
        found.is_gone = True
        with sharing.looking_at("a") as again:
            assert again is not found
    sharing.close()
