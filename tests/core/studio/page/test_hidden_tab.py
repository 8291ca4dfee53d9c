"""A tab that nobody sees. In Chromium without Playwright, which has each of its tabs believe that it is seen."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

PATIENCE = 60.0
SHOWN = "document.querySelector(\"[data-stat='Chunks']\")?.innerText"


class Chromium:
    """Its DevTools protocol. One window, in which the tab is seen that was activated last."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.tabs: dict[str, Tab] = {}
        """By session."""

    async def listen(self) -> None:
        """Until the connection ends."""
        async for message in self._socket:
            said = message.json()
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
            elif said["method"] == "Network.webSocketFrameReceived":
                self.tabs[said["sessionId"]].received.append(said["params"]["response"]["payloadData"])

    async def call(self, method: str, session: str | None = None, /, **params: Any) -> Any:
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        to = {} if session is None else {"sessionId": session}
        await self._socket.send_json({"id": number, "method": method, "params": params, **to})
        answer = await asyncio.wait_for(self._answers[number], PATIENCE)
        assert "result" in answer, answer
        return answer["result"]

    async def open(self, url: str) -> Tab:
        """In front of the others."""
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        tab = self.tabs[session] = Tab(self, target, session)
        await self.call("Network.enable", session)
        await tab.activate()
        await self.call("Page.navigate", session, url=url)
        return tab


class Tab:
    def __init__(self, chromium: Chromium, target: str, session: str) -> None:
        self._chromium = chromium
        self._target = target
        self._session = session
        self.received: list[str] = []
        """The messages that came over its WebSocket."""

    @property
    def sendings(self) -> int:
        """How often it was brought up to date."""
        return sum('"beat' in text.replace("\\", "") for text in self.received)

    async def activate(self) -> None:
        await self._chromium.call("Target.activateTarget", targetId=self._target)

    async def evaluate(self, expression: str) -> Any:
        return (await self._chromium.call("Runtime.evaluate", self._session, expression=expression))["result"].get(
            "value"
        )

    async def until(self, expression: str, value: object) -> None:
        async with asyncio.timeout(PATIENCE):
            while await self.evaluate(expression) != value:
                await asyncio.sleep(0.02)


@pytest.fixture
async def browser(chromium: tuple[str, ...], tmp_path: Path) -> AsyncIterator[Chromium]:
    where = ("--headless", "--remote-debugging-port=0", f"--user-data-dir={tmp_path / 'profile'}", "about:blank")
    process = await asyncio.create_subprocess_exec(*chromium, *where, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    try:
        found = None
        while found is None:
            line = await asyncio.wait_for(process.stderr.readline(), PATIENCE)
            assert line, "Chromium does not start"
            found = re.search(r"listening on (ws://\S+)", line.decode())
        reading = asyncio.create_task(process.stderr.read())
        async with aiohttp.ClientSession() as http, http.ws_connect(found[1], max_msg_size=0) as socket:
            browser = Chromium(socket)
            listening = asyncio.create_task(browser.listen())
            yield browser
            listening.cancel()
        reading.cancel()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def test_a_hidden_tab_is_sent_nothing_more_and_is_up_to_date_when_it_is_seen_again(
    studio: Any, jobs: Any, waiting: str, browser: Chromium
) -> None:
    jobs.submit("hidden", waiting, chunks=40, options={"concurrency": 1})
    hidden = await browser.open(f"{studio.url}/jobs/hidden")
    await hidden.until(SHOWN, "0 / 40")
    assert await hidden.evaluate("document.visibilityState") == "visible"
    front = await browser.open(f"{studio.url}/jobs/hidden")
    await front.until(SHOWN, "0 / 40")
    assert await hidden.evaluate("document.visibilityState") == "hidden"
    before = hidden.sendings, front.sendings
    for done in range(1, 9):
        jobs.let(done - 1)
        await front.until(SHOWN, f"{done} / 40")
    assert front.sendings - before[1] > 3
    assert hidden.sendings - before[0] <= 1, "what was on its way, of which it does not say that it has drawn it"
    assert await hidden.evaluate(SHOWN) != "8 / 40"

    await hidden.activate()
    await hidden.until("document.visibilityState", "visible")
    await hidden.until(SHOWN, "8 / 40")
    jobs.let(8)
    await hidden.until(SHOWN, "9 / 40")
