"""Adapters that break one promise each, run by the contract suite in a process of its own (see test_worker.py)."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from heliostat import ChunkReport, ChunkRequest, ChunkResult, WorkerAdapter
from heliostat.errors import AttemptError, WorkerLost
from heliostat.model.cause import Cause
from heliostat.testing import WorkerAdapterContract, WorkerUnderTest, contract
from heliostat.testing import worker as suite
from heliostat.worker import run_chunk


@dataclasses.dataclass(frozen=True)
class Opened(WorkerUnderTest):
    """An adapter that is not registered."""

    adapter: ClassVar[type[WorkerAdapter]]

    def open(self) -> WorkerAdapter:
        return self.adapter()


class Runtime(WorkerAdapter):
    async def run(self, request: ChunkRequest, report: ChunkReport) -> ChunkResult:
        return await run_chunk(request, report, grace=0.5)


class Leaky(Runtime):
    """Hands on the whole environment of the coordinator."""

    async def run(self, request: ChunkRequest, report: ChunkReport) -> ChunkResult:
        return await super().run(msgspec.structs.replace(request, env={**os.environ, **request.env}), report)


class Deaf(Runtime):
    """Lets the work go on when it is cancelled."""

    async def run(self, request: ChunkRequest, report: ChunkReport) -> ChunkResult:
        return await asyncio.shield(asyncio.ensure_future(super().run(request, report)))


class Silent(Runtime):
    """Reports nothing."""

    async def run(self, request: ChunkRequest, report: ChunkReport) -> ChunkResult:
        return await super().run(request, self)

    def frames_done(self, frames: float, /) -> None: ...
    def log(self, stream: str, text: str, /) -> None: ...
    def heartbeat(self) -> None: ...


class Stubborn(Runtime):
    """Tries again by itself, so that nobody learns of a failure."""

    async def run(self, request: ChunkRequest, report: ChunkReport) -> ChunkResult:
        result = await super().run(request, report)
        again = msgspec.structs.replace(request, attempt=request.attempt + 1)
        return result if result.exit_code == 0 else await super().run(again, report)


class Vague(Runtime):
    """Calls every failure a lost worker."""

    async def run(self, request: ChunkRequest, report: ChunkReport) -> ChunkResult:
        try:
            result = await super().run(request, report)
        except AttemptError as error:
            raise WorkerLost(str(error)) from error
        return result if result.exit_code == 0 else msgspec.structs.replace(result, cause=Cause.WORKER_LOST)


class Careless(Runtime):
    """Delivers something else than what its digests say."""

    async def run(self, request: ChunkRequest, report: ChunkReport) -> ChunkResult:
        result = await super().run(request, report)
        for output in result.outputs:
            Path(request.job_dir, output.path).write_bytes(b"another")
        return result


def contract_of(broken: type[WorkerAdapter], *, hangs: bool = False) -> type[WorkerAdapterContract]:
    """`hangs` says that what it breaks only shows as something that never comes."""

    class Broken(WorkerAdapterContract):
        @pytest.fixture(autouse=hangs)
        def little_patience(self, monkeypatch: pytest.MonkeyPatch) -> None:
            monkeypatch.setattr(contract, "PATIENCE", 15.0)
            monkeypatch.setattr(suite, "PATIENCE", 15.0)

        @pytest.fixture
        def under_test(self) -> WorkerUnderTest:
            subject = type("Subject", (Opened,), {"adapter": broken})
            return subject(broken.__name__, start_seconds=1.0)

    return Broken


class TestRuntime(contract_of(Runtime)): ...  # type: ignore[misc]


class TestLeaky(contract_of(Leaky)): ...  # type: ignore[misc]


class TestDeaf(contract_of(Deaf, hangs=True)): ...  # type: ignore[misc]


class TestSilent(contract_of(Silent, hangs=True)): ...  # type: ignore[misc]


class TestStubborn(contract_of(Stubborn)): ...  # type: ignore[misc]


class TestVague(contract_of(Vague)): ...  # type: ignore[misc]


class TestCareless(contract_of(Careless)): ...  # type: ignore[misc]
