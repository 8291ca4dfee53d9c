"""The worker adapter `aws-lambda`: every attempt is an invocation of one function."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, Final, Literal, NamedTuple, Self, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from heliostat import ChunkReport, ChunkRequest, ChunkResult, Usage, WorkerAdapter, WorkerLimits, from_json
from heliostat.errors import Misconfigured, WorkerLost
from heliostat.worker import encode_request
from heliostat_aws.conversation import Conversation, Silence, read_answer
from heliostat_aws.errors import of_call, of_function
from heliostat_aws.invocation import Delivery, Report, Stored, read_report, usage_of
from heliostat_aws.keys import cancel_key
from heliostat_aws.lines import Line, make_interruptible
from heliostat_aws.options import LambdaOptions
from heliostat_aws.replies import ReplyQueue
from heliostat_aws.session import Connection, open_client

T = TypeVar("T")

CANCEL_PATIENCE: Final = 20.0
"""Seconds that a cancelled invocation gets to end: its worker looks for the marker every second. One that does not, in
an environment that hangs, say, is hung up on."""
SILENCE: Final = 30.0
"""Seconds without a sign of life after which an asynchronous invocation counts as lost; workers send one every five."""
START: Final = 300.0
"""Seconds that an asynchronous invocation may wait in Lambda's own queue."""
MOST_AT_ONCE: Final = 1000
"""Threads that can call at the same time; each is no more than a waiting connection."""


class LambdaAdapter(WorkerAdapter):
    """Synchronous invocations wait on a thread each; asynchronous ones deliver their result through a queue."""

    name = "aws-lambda"

    def __init__(self, options: LambdaOptions) -> None:
        self._options = options
        self._connection = Connection(region=options.region, profile=options.profile, endpoint_url=options.endpoint_url)
        self.artifacts = options.artifacts
        self.limits = WorkerLimits(default_concurrency=options.concurrency, concurrency=MOST_AT_ONCE)
        self._openings = 0
        self._pool: ThreadPoolExecutor
        self._lambda: Any
        self._s3: Any
        self._replies: ReplyQueue | None = None
        self._function = ""
        self._region = ""
        self._bucket = self._prefix = ""

    # --- opening -----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Find function, bucket and region. Raises Misconfigured."""
        if self._openings == 0:
            self._pool = ThreadPoolExecutor(MOST_AT_ONCE + 8, thread_name_prefix="heliostat aws-lambda")
            try:
                await self._in_pool(self._open)
            except BaseException:
                self._pool.shutdown(wait=False)
                raise
        self._openings += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._openings -= 1
        if self._openings == 0:
            if self._replies is not None:
                await self._in_pool(self._replies.close)
                self._replies = None
            self._lambda.close()
            self._s3.close()
            await asyncio.to_thread(self._pool.shutdown)

    def _open(self) -> None:
        options = self._options
        outputs = self._stack_outputs(options.stack) if options.stack else {}
        self._function = options.function or outputs.get("FunctionName", "")
        if not self._function:
            raise Misconfigured(
                "no function is named; give --set stack=NAME of `heliostat aws deploy`, or --set function=NAME"
            )
        store = options.artifacts or (f"s3://{outputs['BucketName']}" if "BucketName" in outputs else "")
        if not store.startswith("s3://"):
            raise Misconfigured("no bucket is named; give --set stack=NAME, or --set artifacts=s3://BUCKET/PREFIX")
        place = urlsplit(store)
        self._bucket, self._prefix = place.netloc, place.path.strip("/")
        self.artifacts = store if place.query else f"{store}{self._store_query()}"
        self._lambda = self._client("lambda")
        seconds = self._function_seconds()
        self._lambda.close()
        # Attempts are retried by the executor, which counts them; a second invocation behind its back would be another
        # attempt. The function may take its whole time before it answers.
        self._lambda = self._client("lambda", read_timeout=seconds + 30, max_pool_connections=MOST_AT_ONCE)
        make_interruptible(self._lambda)
        self._s3 = self._client("s3", max_pool_connections=32)
        self._region = self._lambda.meta.region_name
        self.limits = msgspec.structs.replace(self.limits, longest_chunk=float(seconds))
        if options.reports == "sqs":
            prefix = outputs.get("ReplyQueuePrefix", "heliostat-replies-")
            self._replies = ReplyQueue(self._client("sqs", max_pool_connections=16), prefix)
            self._replies.open()
        elif options.invocation == "event":
            raise Misconfigured("asynchronous invocations answer on a queue; take out reports=off or invocation=event")

    def _client(self, service: str, **config: Any) -> Any:
        retries = {"total_max_attempts": 1} if service == "lambda" else {"mode": "standard", "total_max_attempts": 5}
        return open_client(service, self._connection, retries=retries, tcp_keepalive=True, **config)

    def _store_query(self) -> str:
        """How the store is opened with this adapter's own connection."""
        known = {field: value for field in Connection.__struct_fields__ if (value := getattr(self._connection, field))}
        return f"?{urlencode(known)}" if known else ""

    def _stack_outputs(self, stack: str) -> dict[str, str]:
        from botocore.exceptions import ClientError

        formation = self._client("cloudformation")
        try:
            (found,) = formation.describe_stacks(StackName=stack)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                raise Misconfigured(
                    f"there is no stack {stack!r} in {formation.meta.region_name}; make it with"
                    f" `heliostat aws deploy --stack {stack}`, or choose another region"
                ) from error
            raise of_call(error, f"stack {stack}") from error
        except Exception as error:
            raise of_call(error, f"stack {stack}") from error
        finally:
            formation.close()
        return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}

    def _function_seconds(self) -> int:
        """The function's own time limit; Lambda's longest where it may not be read."""
        from botocore.exceptions import ClientError

        try:
            found = self._lambda.get_function_configuration(FunctionName=self._function, **self._qualifier())
        except ClientError as error:
            if error.response["Error"]["Code"] == "AccessDeniedException":
                return 900
            raise of_call(error, f"function {self._function}") from error
        except Exception as error:
            raise of_call(error, f"function {self._function}") from error
        return int(found.get("Timeout", 900))

    def _qualifier(self) -> dict[str, str]:
        return {"Qualifier": self._options.qualifier} if self._options.qualifier else {}

    # --- attempts ----------------------------------------------------------------------------------------------------

    async def run(self, request: ChunkRequest, report: ChunkReport) -> ChunkResult:
        call = _Call(uuid.uuid4().hex, request, Conversation(report), report, Line())
        if self._replies is not None:
            self._replies.listen(call.id, call.conversation.hear)
        run = self._run_event if self._options.invocation == "event" else self._run_sync
        running = asyncio.ensure_future(run(call))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await self._end(call, running)
            raise
        finally:
            if self._replies is not None:
                self._replies.forget(call.id)

    async def _run_sync(self, call: _Call) -> ChunkResult:
        answer, usage = await self._in_pool(partial(self._invoke, call))
        # What the worker said before it answered may still be on its way.
        await call.conversation.until(answer.beside.batches if self._replies is not None else 0)
        for line in answer.beside.lines.splitlines():
            read_answer(line.encode(), call.report)
        result = await self._whole(answer.message)
        return msgspec.structs.replace(result, usage=usage)

    async def _run_event(self, call: _Call) -> ChunkResult:
        conversation = call.conversation
        await self._in_pool(partial(self._invoke_event, call))
        begun = time.monotonic()
        while conversation.answer is None:
            await conversation.until(None)
            now, heard = time.monotonic(), conversation.heard_clock
            if conversation.answer is None and (now - begun > START if heard is None else now - heard > SILENCE):
                # Should it come to life yet, it finds the marker and ends.
                await self._in_pool(partial(self._mark, call))
                raise WorkerLost("nothing has been heard of the invocation; see its log in CloudWatch")
        result = await self._whole(conversation.answer)
        told = result.usage
        report = Report() if told is None else Report(told.billed_seconds, told.memory_mb)
        return msgspec.structs.replace(result, usage=usage_of(report, self._options.usd_per_gb_second))

    async def _end(self, call: _Call, running: asyncio.Future[ChunkResult]) -> None:
        """Ask the worker to end, and wait until it has: what it still did would be billed all the same."""
        asking = asyncio.ensure_future(self._in_pool(partial(self._mark, call)))
        try:
            await asyncio.wait([running], timeout=CANCEL_PATIENCE)
            has_ended = running.done()
            await asyncio.wait([asking], timeout=CANCEL_PATIENCE)
            if has_ended:
                self._pool.submit(self._unmark, call)
        finally:
            call.line.cut()
            if running.done():
                running.cancelled() or running.exception()
            running.cancel()

    # --- calls, on threads -------------------------------------------------------------------------------------------

    def _invoke(self, call: _Call) -> tuple[_Answer, Usage | None]:
        """Raises AttemptErrors."""
        try:
            with call.line:
                response = self._lambda.invoke(
                    **self._target("RequestResponse"), LogType="Tail", Payload=self._payload(call, "sync")
                )
                payload = response["Payload"].read()
        except Exception as error:
            raise of_call(error, f"function {self._function}") from error
        log = base64.b64decode(response.get("LogResult", "")).decode(errors="replace")
        usage_report = read_report(log)
        if response.get("FunctionError"):
            raise of_function(*_complaint(payload), usage_report, log)
        message = read_answer(payload, call.report)
        if message is None:
            raise WorkerLost("the function answered with a report in place of a result; deploy it again")
        beside = from_json(payload, _Beside)
        return _Answer(message, beside), usage_of(usage_report, self._options.usd_per_gb_second)

    def _invoke_event(self, call: _Call) -> None:
        try:
            with call.line:
                self._lambda.invoke(**self._target("Event"), Payload=self._payload(call, "event"))
        except Exception as error:
            raise of_call(error, f"function {self._function}") from error

    def _target(self, invocation: str) -> dict[str, str]:
        return {"FunctionName": self._function, "InvocationType": invocation, **self._qualifier()}

    def _payload(self, call: _Call, invocation: Literal["sync", "event"]) -> bytes:
        """The request line of the wire format, and beside it how to answer. The worker opens the store by its role."""
        plain = self.artifacts.partition("?")[0] if self.artifacts else None
        line = encode_request(msgspec.structs.replace(call.request, artifacts=plain)).rstrip()
        delivery = Delivery(call.id, invocation, self._replies.url if self._replies is not None else None)
        return line[:-1] + b"," + msgspec.json.encode(delivery)[1:]

    async def _whole(self, message: ChunkResult | Stored) -> ChunkResult:
        if not isinstance(message, Stored):
            return message
        try:
            body = await self._in_pool(partial(self._fetch, message.key))
        except Exception as error:
            raise of_call(error, f"result s3://{self._bucket}/{message.key}") from error
        result = read_answer(body, Silence())
        if not isinstance(result, ChunkResult):
            raise WorkerLost(f"s3://{self._bucket}/{message.key} is no result; deploy the function again")
        return result

    def _fetch(self, key: str) -> bytes:
        body: bytes = self._s3.get_object(Bucket=self._bucket, Key=self._key(key))["Body"].read()
        return body

    def _mark(self, call: _Call) -> None:
        self._s3.put_object(**self._marker(call), Body=b"")

    def _unmark(self, call: _Call) -> None:
        with contextlib.suppress(Exception):  # it expires by itself
            self._s3.delete_object(**self._marker(call))

    def _marker(self, call: _Call) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._key(cancel_key(call.request.job_id, call.id))}

    async def _in_pool(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def _key(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key


class _Call(NamedTuple):
    """One call of the function."""

    id: str
    request: ChunkRequest
    conversation: Conversation
    report: ChunkReport
    line: Line


class _Answer(NamedTuple):
    message: ChunkResult | Stored
    beside: _Beside


class _Beside(msgspec.Struct, frozen=True):
    """What stands beside a result: the number of batches that the worker has sent before it, and its last reports."""

    batches: int = 0
    lines: str = ""


def _complaint(payload: bytes) -> tuple[str, str]:
    """What a function error says: its type and its message."""
    try:
        said = json.loads(payload)
        return str(said.get("errorType", "")), str(said.get("errorMessage", ""))
    except (ValueError, AttributeError):
        return "", payload[:200].decode(errors="replace")
