"""The Admin API: `google.cloud.run.v2` over gRPC."""

from __future__ import annotations

import uuid
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.cloud import run_v2
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.longrunning import operations_pb2
from google.protobuf import any_pb2, empty_pb2

from fake_cloud_run.executions import Executions
from fake_cloud_run.resources import Resources

PAGE = 100
"""Resources in one answer of a listing, at the most."""
FAULTS = {
    "throttle": (grpc.StatusCode.RESOURCE_EXHAUSTED, "Quota exceeded for quota metric 'Job run requests'"),
    "unavailable": (grpc.StatusCode.UNAVAILABLE, "The service is currently unavailable."),
    "internal": (grpc.StatusCode.INTERNAL, "Internal error encountered."),
    "denied": (grpc.StatusCode.PERMISSION_DENIED, "Permission 'run.jobs.runWithOverrides' denied on resource"),
    "unauthenticated": (grpc.StatusCode.UNAUTHENTICATED, "Request had invalid authentication credentials."),
}
"""Answers in place of RunJob."""

MOST_MEMORY = {"1": 4, "2": 8, "4": 16, "6": 24}
"""GiB, by CPUs."""
VERBS = {"Cancel": "cancel", "Create": "create", "Delete": "delete", "Get": "get", "List": "list", "Update": "update"}


def permissions(service: str, method: str, request: Any) -> list[str]:
    """What a method needs: https://cloud.google.com/run/docs/reference/iam/permissions."""
    collection = service.rpartition(".")[2].lower()
    if method == "RunJob":
        return ["run.jobs.run", *(["run.jobs.runWithOverrides"] if "overrides" in request else [])]
    if method.endswith("IamPolicy"):
        return [f"run.{collection}.{method[0].lower()}{method[1:]}"]
    verb = next((right for word, right in VERBS.items() if method.startswith(word)), "get")
    return [f"run.{collection}.{verb}"]


def template_of(resource: Any) -> Any:
    """The part of a service or a job that has containers."""
    return resource.template if isinstance(resource, run_v2.Service) else resource.template.template


class Admin:
    def __init__(self, resources: Resources, executions: Executions, url_of: Callable[[str], str]) -> None:
        """`url_of`: where a service is served, by its name."""
        self.calls: Counter[str] = Counter()
        """Calls by method."""
        self.faults: deque[str] = deque()
        self.cancel_faults: deque[str] = deque()
        """Answers in place of CancelExecution."""
        self.list_faults: deque[str] = deque()
        """What becomes of the next answers of ListTasks: `stranger`, the first task has an index that none can have."""
        self.run_requests: list[run_v2.RunJobRequest] = []
        self.denied: set[str] = set()
        """Permissions that the caller lacks."""
        self.used: set[str] = set()
        """Permissions that were needed."""
        self.missing_images: set[str] = set()
        """Images that cannot be fetched."""
        self.slow = 0
        """How often an operation is looked at until it is over."""
        self.knows: Callable[[str], bool] = lambda account: True
        """Whether there is a service account."""
        self._resources = resources
        self._executions = executions
        self._url_of = url_of
        self._looks: Counter[str] = Counter()

    def add_to(self, server: grpc.aio.Server) -> None:
        kinds = {
            "Services": ("services", run_v2.Service, run_v2.types.service),
            "Jobs": ("jobs", run_v2.Job, run_v2.types.job),
        }
        for title, (collection, kind, module) in kinds.items():
            one = title[:-1]
            methods = {
                f"Get{one}": (self._getter(collection, one), getattr(module, f"Get{one}Request"), kind),
                f"List{title}": (
                    self._lister(collection, title),
                    getattr(module, f"List{title}Request"),
                    getattr(module, f"List{title}Response"),
                ),
                f"Create{one}": (self._creator(collection, one), getattr(module, f"Create{one}Request"), None),
                f"Update{one}": (self._updater(collection, one), getattr(module, f"Update{one}Request"), None),
                f"Delete{one}": (self._deleter(collection, one), getattr(module, f"Delete{one}Request"), None),
                "GetIamPolicy": (self._get_policy, iam_policy_pb2.GetIamPolicyRequest, policy_pb2.Policy),
                "SetIamPolicy": (self._set_policy, iam_policy_pb2.SetIamPolicyRequest, policy_pb2.Policy),
            }
            if one == "Job":
                methods["RunJob"] = (self._run_job, run_v2.RunJobRequest, None)
            self._add(server, f"google.cloud.run.v2.{title}", methods)
        self._add(
            server,
            "google.cloud.run.v2.Executions",
            {
                "GetExecution": (self._get_execution, run_v2.GetExecutionRequest, run_v2.Execution),
                "CancelExecution": (self._cancel_execution, run_v2.CancelExecutionRequest, None),
                "ListExecutions": (
                    self._list_executions,
                    run_v2.ListExecutionsRequest,
                    run_v2.ListExecutionsResponse,
                ),
            },
        )
        self._add(
            server,
            "google.cloud.run.v2.Tasks",
            {"ListTasks": (self._list_tasks, run_v2.ListTasksRequest, run_v2.ListTasksResponse)},
        )
        self._add(
            server,
            "google.longrunning.Operations",
            {
                "GetOperation": (self._operation, operations_pb2.GetOperationRequest, None),
                "WaitOperation": (self._operation, operations_pb2.WaitOperationRequest, None),
                "DeleteOperation": (self._forget, operations_pb2.DeleteOperationRequest, empty_pb2.Empty),
            },
        )

    def _add(self, server: grpc.aio.Server, service: str, methods: dict[str, tuple[Any, Any, Any]]) -> None:
        def handler(name: str, call: Callable[..., Awaitable[Any]], asked: Any, answered: Any) -> Any:
            async def counted(request: Any, context: grpc.aio.ServicerContext) -> Any:
                self.calls[name] += 1
                for permission in permissions(service, name, request):
                    await self._need(permission, context)
                return await call(request, context)

            answered = answered or operations_pb2.Operation
            return grpc.unary_unary_rpc_method_handler(
                counted,
                request_deserializer=getattr(asked, "deserialize", getattr(asked, "FromString", None)),
                response_serializer=getattr(answered, "serialize", getattr(answered, "SerializeToString", None)),
            )

        handlers = {name: handler(name, *parts) for name, parts in methods.items()}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))

    async def _need(self, permission: str, context: grpc.aio.ServicerContext) -> None:
        self.used.add(permission)
        if permission in self.denied:
            message = f"Permission '{permission}' denied on resource (or resource may not exist)."
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, message)

    # --- services and jobs -------------------------------------------------------------------------------------------

    def _getter(self, collection: str, one: str) -> Any:
        async def get(request: Any, context: Any) -> Any:
            return await self._find(getattr(self._resources, collection), one, request.name, context)

        return get

    def _lister(self, collection: str, title: str) -> Any:
        async def list_(request: Any, context: Any) -> Any:
            kept = getattr(self._resources, collection)
            found = [kept[name] for name in sorted(kept) if name.startswith(f"{request.parent}/")]
            answer = getattr(run_v2, f"List{title}Response")()
            getattr(answer, collection).extend(found)
            return answer

        return list_

    def _creator(self, collection: str, one: str) -> Any:
        async def create(request: Any, context: Any) -> Any:
            kept = getattr(self._resources, collection)
            name = f"{request.parent}/{collection}/{getattr(request, f'{one.lower()}_id')}"
            if name in kept:
                await context.abort(grpc.StatusCode.ALREADY_EXISTS, f"Resource '{name}' already exists.")
            resource = getattr(request, one.lower())
            resource.name = name
            await self._check(resource, context)
            if request.validate_only:
                return self._done(resource)
            kept[name] = self._ready(resource)
            return self._ended(kept[name])

        return create

    def _updater(self, collection: str, one: str) -> Any:
        async def update(request: Any, context: Any) -> Any:
            kept = getattr(self._resources, collection)
            resource = getattr(request, one.lower())
            if not request.allow_missing:
                await self._find(kept, one, resource.name, context)
            await self._check(resource, context)
            found = kept.get(resource.name)
            if found is not None and resource.etag not in ("", found.etag):
                message = f"Conflict for resource '{resource.name}': the current version differs."
                await context.abort(grpc.StatusCode.ABORTED, message)
            kept[resource.name] = self._ready(resource, found)
            return self._ended(kept[resource.name])

        return update

    def _deleter(self, collection: str, one: str) -> Any:
        async def delete(request: Any, context: Any) -> Any:
            kept = getattr(self._resources, collection)
            deleted = kept.pop((await self._find(kept, one, request.name, context)).name)
            self._resources.policies.pop(deleted.name, None)
            return self._done(deleted)

        return delete

    async def _check(self, resource: Any, context: Any) -> None:
        """What Cloud Run refuses at once."""
        template = template_of(resource)
        if account := template.service_account:
            await self._need("iam.serviceAccounts.actAs", context)
            if not self.knows(account):
                message = (
                    f"Permission 'iam.serviceaccounts.actAs' denied on service account {account} (or it may not exist)."
                )
                await context.abort(grpc.StatusCode.PERMISSION_DENIED, message)
        limits = template.containers[0].resources.limits
        most = MOST_MEMORY.get(limits.get("cpu", "1"), 32)
        if limits.get("memory", "512Mi").endswith("Mi") and int(limits.get("memory", "512Mi")[:-2]) > most << 10:
            message = f"Invalid value specified for memory. For {limits['cpu']} CPU, memory must be at most {most}Gi."
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, message)

    def _ready(self, resource: Any, before: Any = None) -> Any:
        """As it is once Cloud Run has done what it can. A template that is no other than before is not tried again."""
        resource.uid = resource.uid or uuid.uuid4().hex
        resource.etag = uuid.uuid4().hex
        resource.generation += 1
        resource.observed_generation = resource.generation
        if before is not None and before.template == resource.template:
            resource.terminal_condition = before.terminal_condition
            if isinstance(resource, run_v2.Service):
                resource.latest_ready_revision = before.latest_ready_revision
            return resource
        image = template_of(resource).containers[0].image
        resource.terminal_condition = run_v2.Condition(type_="Ready", state=run_v2.Condition.State.CONDITION_SUCCEEDED)
        if image in self.missing_images:
            resource.terminal_condition = run_v2.Condition(
                type_="Ready",
                state=run_v2.Condition.State.CONDITION_FAILED,
                reason=run_v2.Condition.CommonReason.CONTAINER_MISSING,
                message=f"Image '{image}' not found.",
            )
        if isinstance(resource, run_v2.Service):
            container = resource.template.containers[0]
            if not container.ports:
                container.ports = [run_v2.ContainerPort(name="http1", container_port=8080)]
            short = resource.name.rpartition("/")[2]
            resource.uri = self._url_of(resource.name)
            revision = f"{resource.name}/revisions/{short}-{resource.generation:05d}-abc"
            resource.latest_created_revision = revision
            if image not in self.missing_images:
                resource.latest_ready_revision = revision
        return resource

    async def _find(self, kept: dict[str, Any], one: str, name: str, context: Any) -> Any:
        if name not in kept:
            await context.abort(
                grpc.StatusCode.NOT_FOUND,
                f"Resource '{name.rpartition('/')[2]}' of kind '{one.upper()}' in region does not exist.",
            )
        return kept[name]

    async def _get_policy(self, request: Any, context: Any) -> Any:
        return self._resources.policies.get(request.resource, policy_pb2.Policy(etag=b"1"))

    async def _set_policy(self, request: Any, context: Any) -> Any:
        found = await self._get_policy(request, context)
        if request.policy.etag not in (b"", found.etag):
            await context.abort(grpc.StatusCode.ABORTED, "There were concurrent policy changes.")
        for binding in request.policy.bindings:
            for member in binding.members:
                kind, _, account = member.partition(":")
                if kind == "serviceAccount" and not self.knows(account):
                    message = f"Service account {account} does not exist."
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, message)
        request.policy.etag = uuid.uuid4().bytes
        self._resources.policies[request.resource] = request.policy
        return request.policy

    # --- executions --------------------------------------------------------------------------------------------------

    async def _run_job(self, request: run_v2.RunJobRequest, context: Any) -> Any:
        fault = self.faults.popleft() if self.faults else None
        if fault in FAULTS:
            await context.abort(*FAULTS[fault])
        job = await self._find(self._resources.jobs, "Job", request.name, context)
        if not 0 <= request.overrides.task_count <= 10_000:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "task_count must be between 1 and 10000")
        self.run_requests.append(request)
        execution = self._executions.run(job, request)
        if fault == "unheard":  # it has begun all the same
            await context.abort(*FAULTS["unavailable"])
        return self._begun(execution.resource)

    async def _get_execution(self, request: Any, context: Any) -> Any:
        return (await self._find(self._resources.executions, "Execution", request.name, context)).resource

    async def _cancel_execution(self, request: Any, context: Any) -> Any:
        execution = await self._find(self._resources.executions, "Execution", request.name, context)
        if self.cancel_faults:
            await context.abort(*FAULTS[self.cancel_faults.popleft()])
        await self._executions.cancel(execution)
        return self._done(execution.resource)

    async def _list_executions(self, request: Any, context: Any) -> Any:
        found = [
            execution.resource
            for name, execution in self._resources.executions.items()
            if name.startswith(f"{request.parent}/")
        ]
        return run_v2.ListExecutionsResponse(executions=found[::-1][:PAGE])

    async def _list_tasks(self, request: Any, context: Any) -> Any:
        execution = await self._find(self._resources.executions, "Execution", request.parent, context)
        first = int(request.page_token or 0)
        last = first + min(request.page_size or PAGE, PAGE)
        more = last < len(execution.tasks)
        tasks = [run_v2.Task(task.resource) for task in execution.tasks[first:last]]
        if self.list_faults and self.list_faults.popleft() == "stranger":
            tasks.insert(0, run_v2.Task(tasks[0], index=len(execution.tasks)))
        return run_v2.ListTasksResponse(tasks=tasks, next_page_token=str(last) if more else "")

    # --- operations --------------------------------------------------------------------------------------------------

    def _ended(self, resource: Any) -> operations_pb2.Operation:
        """Well, or not; it takes a few looks until that shows."""
        operation = self._done(resource)
        condition = resource.terminal_condition
        if condition.state != run_v2.Condition.State.CONDITION_SUCCEEDED:
            operation.error.code = grpc.StatusCode.INVALID_ARGUMENT.value[0]
            operation.error.message = f"Revision is not ready and cannot serve traffic. {condition.message}"
        if not self.slow:
            return operation
        self._looks[operation.name] = self.slow
        return self._begun(resource, operation.name)

    def _done(self, resource: Any) -> operations_pb2.Operation:
        operation = self._begun(resource)
        operation.done = True
        operation.response.CopyFrom(operation.metadata)
        self._resources.operations[operation.name] = operation
        return operation

    def _begun(self, resource: Any, name: str = "") -> operations_pb2.Operation:
        packed = any_pb2.Any()
        packed.Pack(type(resource).pb(resource))
        place = "/".join(resource.name.split("/")[:4])
        return operations_pb2.Operation(name=name or f"{place}/operations/{uuid.uuid4()}", metadata=packed)

    async def _operation(self, request: Any, context: Any) -> Any:
        if request.name not in self._resources.operations:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"Operation '{request.name}' does not exist.")
        if self._looks[request.name] > 1:
            self._looks[request.name] -= 1
            return operations_pb2.Operation(name=request.name)
        return self._resources.operations[request.name]

    async def _forget(self, request: Any, context: Any) -> Any:
        self._resources.operations.pop(request.name, None)
        return empty_pb2.Empty()
