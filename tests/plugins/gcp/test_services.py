"""The adapter `gcp-cloud-run` behind a front door that behaves as Cloud Run's: what only that does."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from strict_gcs import Request, StrictGcs

from heliostat import AttemptFailed, Cause, JobExecutionOptions, JobExecutor, JobState, open_worker
from heliostat.errors import JobFailed, Misconfigured
from heliostat.testing.meeting import Meeting
from heliostat.testing.trial import Trial, film

WRITE = ("write=film",)
pytestmark = pytest.mark.timeout(200)


def adapter(cloud: Any, **options: Any) -> Any:
    return open_worker("gcp-cloud-run", **{**cloud.service, **options})


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("throttle", Cause.THROTTLED),
        ("no instance", Cause.THROTTLED),
        ("unavailable", Cause.WORKER_LOST),
        ("drop", Cause.WORKER_LOST),
        ("crash", Cause.WORKER_LOST),
    ],
)
async def test_what_passes_costs_no_attempt(cloud: Any, tmp_path: Path, fault: str, cause: Cause):
    cloud.run.front.faults.append(fault)
    async with Trial(adapter(cloud), tmp_path) as trial:
        status = await trial.run(film(WRITE))
        assert status.state is JobState.COMPLETED, status.error
        assert status.metrics.failures == {cause: 1}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("denied", "HTTP 403: .*; give the caller the role roles/run.invoker; `heliostat gcp policy`"),
        ("unauthenticated", "HTTP 401: .*; give the caller roles/run.invoker, name it in .*HELIOSTAT_CALLERS"),
        ("missing", "HTTP 404: .*; deploy the service with `heliostat gcp deploy`, or correct its name"),
    ],
)
async def test_what_no_retry_can_help_ends_the_job_with_the_fix(cloud: Any, tmp_path: Path, fault: str, message: str):
    cloud.run.front.faults.append(fault)
    with pytest.raises(JobFailed, match=message) as failed:
        await JobExecutor(adapter(cloud)).execute(film(WRITE), JobExecutionOptions(job_dir=tmp_path))
    assert failed.value.cause is Cause.MISCONFIGURED


async def test_a_clock_that_goes_wrong_ends_the_job_and_is_named(
    cloud: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As that of a machine that was put to sleep: by Google's clock, the token has expired an hour ago."""
    front = cloud.run.front
    async with Trial(adapter(cloud), tmp_path) as trial:
        status = await trial.run(film(WRITE, id="before"), on_progress=None)
        assert status.state is JobState.COMPLETED, status.error
        monkeypatch.setattr(front, "ahead", 7200.0)
        refusals = front.refusals
        status = await trial.run(film(WRITE, id="after"), retries=5, on_progress=None)
        assert (status.state, status.metrics.failures) == (JobState.FAILED, {Cause.MISCONFIGURED: 1})
        assert (
            "permission to the requested URL /; this machine's clock is 120 min behind Google's, so that tokens are"
            " taken for good which have expired; set this machine's clock right"
        ) in (status.error or "")
        assert front.refusals == refusals + 1
        trial.observes = False


async def test_a_refusal_for_another_reason_is_not_laid_to_the_clock(
    cloud: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cloud.run.front, "ahead", 600.0)
    with pytest.raises(JobFailed, match=r"HTTP 401: .*; give the caller roles/run\.invoker, name it in"):
        await JobExecutor(adapter(cloud, audience="https://elsewhere")).execute(
            film(WRITE), JobExecutionOptions(job_dir=tmp_path)
        )


async def test_a_request_that_the_front_door_gives_up_has_timed_out(cloud: Any, tmp_path: Path):
    cloud.run.front.faults.append("timeout")
    async with Trial(adapter(cloud), tmp_path) as trial:
        assert (await trial.run(film(WRITE))).metrics.failures == {Cause.TIMED_OUT: 1}


async def test_the_time_of_a_request_is_counted_from_its_beginning(cloud: Any, storage: StrictGcs, tmp_path: Path):
    """As Cloud Run does: here the inputs take it all, and the command, which has a limit of its own, never begins."""
    cloud.run.add_service(
        "brief",
        {"HELIOSTAT_AUDIENCE": "brief", "HELIOSTAT_CALLERS": "heliostat@studio.iam.gserviceaccount.com"},
        timeout=7.0,
        audiences=("brief",),
    )
    go_on = threading.Event()

    def hold(sent: Request) -> None:
        if sent.operation == "media":
            go_on.wait(60)

    storage.intervene = hold
    slow = f"{cloud.artifacts}?endpoint_url={storage.url}"
    async with Trial(adapter(cloud, service="brief", artifacts=slow), tmp_path) as trial:
        (trial.job_dir / "scene.txt").write_text("scene")
        try:
            status = await trial.run(film(WRITE, inputs=("scene.txt",)))
        finally:
            go_on.set()
        assert status.metrics.failures == {Cause.TIMED_OUT: 1}
        assert "the request ran into the service's time limit of 7 s; deploy it with more, or make" in status.error


async def test_time_is_up_before_cloud_run_cuts_the_request(cloud: Any, tmp_path: Path):
    """Its time limit is 12 s, of which 10 are kept for ending the chunk."""
    cloud.run.add_service(
        "short",
        {"HELIOSTAT_AUDIENCE": "short", "HELIOSTAT_CALLERS": "heliostat@studio.iam.gserviceaccount.com"},
        timeout=12.0,
        audiences=("short",),
    )
    async with Meeting("127.0.0.1") as meeting, Trial(adapter(cloud, service="short"), tmp_path) as trial:
        status = await trial.run(film((f"1:{meeting.step}", "write=film")))
        assert status.state is JobState.FAILED
        assert [event.cause for event in trial.told(AttemptFailed)] == [Cause.TIMED_OUT]


async def test_an_instance_that_is_scaled_away_loses_its_chunk_and_no_attempt(cloud: Any, tmp_path: Path):
    async with Meeting("127.0.0.1") as meeting, Trial(adapter(cloud), tmp_path) as trial:
        await trial.start(film((meeting.step, "write=film")))
        await meeting.next()
        await asyncio.to_thread(cloud.run.stop_instances)
        (await meeting.next()).do("go")
        status = await trial.manager.wait("job")
        assert status.state is JobState.COMPLETED, status.error
        assert status.metrics.failures == {Cause.WORKER_LOST: 1}
        (lost,) = trial.told(AttemptFailed)
        assert lost.message == "the worker was told to end, and took the chunk with it"


async def test_as_many_instances_as_there_may_be_and_the_rest_waits_its_turn(cloud: Any, tmp_path: Path):
    """The adapter knows the service's limit, so that nothing has to be refused."""
    env = {"HELIOSTAT_AUDIENCE": "few", "HELIOSTAT_CALLERS": "heliostat@studio.iam.gserviceaccount.com"}
    cloud.run.add_service("few", env, instances=2, audiences=("few",))
    before = cloud.run.front.cold_starts
    async with Trial(adapter(cloud, service="few"), tmp_path) as trial:
        status = await trial.run(film(*[WRITE] * 8), concurrency=8)
        assert status.state is JobState.COMPLETED, status.error
        assert status.metrics.failures == {}
    assert cloud.run.front.cold_starts - before <= 2


async def test_one_token_serves_many_chunks(cloud: Any, tmp_path: Path):
    cloud.accounts.id_tokens.clear()
    async with Trial(adapter(cloud), tmp_path) as trial:
        await trial.run(film(*[WRITE] * 6), concurrency=2)
    assert cloud.accounts.id_tokens == ["heliostat-film"]


async def test_a_token_is_replaced_before_it_expires(cloud: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """They last for less than the five minutes that one has to be good for, so each request has a new one."""
    monkeypatch.setattr(cloud.accounts, "lifetime", 200.0)
    cloud.accounts.id_tokens.clear()
    async with Trial(adapter(cloud), tmp_path) as trial:
        status = await trial.run(film(*[WRITE] * 3), concurrency=1)
        assert status.state is JobState.COMPLETED, status.error
    assert len(cloud.accounts.id_tokens) == 3


async def test_a_result_tells_what_it_cost_and_where_its_log_is(cloud: Any, tmp_path: Path):
    async with Trial(adapter(cloud), tmp_path) as trial:
        status = await trial.run(film(WRITE))
        (attempt,) = await trial.attempts(0)
        assert attempt.result is not None
        usage = attempt.result.usage
        assert usage is not None
        assert usage.memory_mb == 4096
        assert usage.billed_seconds == pytest.approx(attempt.result.duration, abs=1e-3)
        cost = attempt.result.duration * (2 * 0.000024 + 4 * 0.0000025)
        assert usage.cost_usd == pytest.approx(cost, abs=1e-8)
        assert status.metrics.cost_usd == pytest.approx(cost, abs=1e-8)
        assert attempt.result.log_url == (
            "https://console.cloud.google.com/run/detail/europe-west1/film/logs?project=studio"
        )


async def test_the_service_says_all_that_the_adapter_needs(cloud: Any, tmp_path: Path):
    """The bucket too, which is an option of a service that was not deployed with one."""
    async with Trial(open_worker("gcp-cloud-run", service="film", endpoint=cloud.run.endpoint), tmp_path) as trial:
        status = await trial.run(film(WRITE))
        assert status.state is JobState.COMPLETED, status.error
        (attempt,) = await trial.attempts(0)
        assert attempt.result is not None
        assert attempt.result.outputs[0].url == "gcs://films/studio/jobs/job/chunks/0000.bin"
        (service,) = [s for name, s in cloud.run.resources.services.items() if name.endswith("/film")]
        revision = service.latest_ready_revision.rpartition("/")[2]
        assert revision
        assert (attempt.result.worker or "").startswith(f"{revision}/")


async def test_by_its_address_nothing_else_is_asked(cloud: Any, tmp_path: Path):
    (service,) = [s for name, s in cloud.run.resources.services.items() if name.endswith("/film")]
    cloud.run.admin.calls.clear()
    worker = open_worker("gcp-cloud-run", url=service.uri, audience="heliostat-film", artifacts=cloud.artifacts)
    async with Trial(worker, tmp_path) as trial:
        assert (await trial.run(film(WRITE))).state is JobState.COMPLETED
    assert cloud.run.admin.calls["GetService"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"service": None}, "no service is named; give service=NAME"),
        ({"service": "nothing"}, "does not exist; deploy it with `heliostat gcp deploy`, or correct its name"),
        ({"service": "bare", "artifacts": None}, "no bucket is named; give artifacts=gs://BUCKET/PREFIX"),
        ({"endpoint": "http://127.0.0.1:1"}, "Google failed at service .*127.0.0.1:1"),
    ],
)
async def test_what_cannot_work_is_told_when_it_is_opened(cloud: Any, options: dict[str, Any], message: str):
    cloud.run.add_service("bare", {})
    with pytest.raises(Exception, match=message):
        await adapter(cloud, **options).__aenter__()


async def test_no_region_is_told_with_what_to_set(cloud: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("GOOGLE_CLOUD_REGION")
    with pytest.raises(Misconfigured, match="no region is chosen; give region=…, such as europe-west1"):
        await adapter(cloud).__aenter__()


async def test_credentials_that_cannot_make_tokens_are_told_with_what_to_do(
    cloud: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A user's own, as `gcloud auth application-default login` leaves them."""
    own = tmp_path / "user.json"
    own.write_text('{"type": "authorized_user", "client_id": "1", "client_secret": "2", "refresh_token": "3"}')
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(own))
    with pytest.raises(JobFailed, match=r"cannot make ID tokens .*impersonate=ACCOUNT") as failed:
        await JobExecutor(adapter(cloud, artifacts=f"file://{tmp_path / 'store'}")).execute(
            film(WRITE), JobExecutionOptions(job_dir=tmp_path)
        )
    assert failed.value.cause is Cause.MISCONFIGURED
