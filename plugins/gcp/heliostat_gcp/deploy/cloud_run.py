"""The service and the job. Properties: the JSON of `google.cloud.run.v2`."""

from __future__ import annotations

import json
import secrets
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from heliostat.errors import Misconfigured
from heliostat_gcp.admin_api import TIMEOUT
from heliostat_gcp.deploy.comparison import merged
from heliostat_gcp.deploy.operations import follow
from heliostat_gcp.deploy.resource import Found, Policy, Properties, Resource

if TYPE_CHECKING:
    from google.cloud import run_v2

    from heliostat_gcp.deploy.google import Google


class RunResource(Resource):
    clients: ClassVar[str]
    """The client of `run_v2`, less its last word."""

    def __init__(self, google: Google, name: str) -> None:
        super().__init__(name)
        self.whole_name = f"{google.place.parent}/{self.kind}s/{name}"
        self._google = google

    def get(self) -> Any:
        """The message, or None."""
        from google.api_core.exceptions import NotFound

        try:
            return self._call("get", name=self.whole_name)
        except NotFound:
            return None

    def find(self) -> Found | None:
        return None if (message := self.get()) is None else self.found(message)

    def found(self, message: Any) -> Found:
        return Found(
            properties=to_properties(message),
            is_ours=message.labels.get("heliostat") == self.name,
            is_changing=message.reconciling,
            trouble=trouble_of(message),
        )

    @staticmethod
    @abstractmethod
    def template(message: Any) -> Any:
        """The part of the message that has containers."""

    def create(self, wanted: Properties) -> None:
        request = {
            "parent": self._google.place.parent,
            self.kind: to_message(self.kind, wanted),
            f"{self.kind}_id": self.name,
        }
        follow(self._call("create", request=request))

    def update(self, found: Found, wanted: Properties) -> None:
        properties = merged(found.properties, wanted)
        template = properties["template"]
        template.pop("revision", None)  # a name that somebody has given the last one cannot be given again
        if found.trouble:  # else Cloud Run sees nothing new, and leaves it as it is
            template["annotations"] = {**template.get("annotations", {}), "heliostat-again": secrets.token_hex(4)}
        follow(self._call("update", request={self.kind: to_message(self.kind, properties)}))

    def delete(self) -> None:
        follow(self._call("delete", name=self.whole_name))

    def policy(self) -> Policy:
        from google.protobuf import json_format

        request = {"resource": self.whole_name, "options": {"requested_policy_version": 3}}
        policy: Policy = json_format.MessageToDict(
            self._google.run(self.clients).get_iam_policy(request=request, timeout=TIMEOUT)
        )
        return policy

    def set_policy(self, policy: Policy) -> None:
        from google.iam.v1 import policy_pb2
        from google.protobuf import json_format

        request = {"resource": self.whole_name, "policy": json_format.ParseDict(policy, policy_pb2.Policy())}
        self._google.run(self.clients).set_iam_policy(request=request, timeout=TIMEOUT)

    def _call(self, verb: str, **arguments: Any) -> Any:
        return getattr(self._google.run(self.clients), f"{verb}_{self.kind}")(timeout=TIMEOUT, **arguments)


class Service(RunResource):
    kind = "service"
    clients = "Services"

    @staticmethod
    def template(message: Any) -> Any:
        return message.template


class Job(RunResource):
    kind = "job"
    clients = "Jobs"

    @staticmethod
    def template(message: Any) -> Any:
        return message.template.template

    def running(self, most: int) -> list[run_v2.Execution]:
        """Executions that have not ended, among the newest so many."""
        pages = self._google.run("Executions").list_executions(parent=self.whole_name, timeout=TIMEOUT)
        newest = [execution for execution, _ in zip(pages, range(most), strict=False)]
        return [execution for execution in newest if not execution.completion_time]

    def end(self, execution: run_v2.Execution) -> None:
        follow(self._google.run("Executions").cancel_execution(name=execution.name, timeout=TIMEOUT))


def to_properties(message: Any) -> Properties:
    """With all fields, also those that say nothing."""
    properties: Properties = type(message).to_dict(
        message, preserving_proto_field_name=False, use_integers_for_enums=False
    )
    return properties


def to_message(kind: str, properties: Properties) -> Any:
    """Raises Misconfigured for a field that the API does not have, with its path."""
    from google.cloud import run_v2
    from google.protobuf.json_format import ParseError

    type_: Any = {"service": run_v2.Service, "job": run_v2.Job}[kind]
    try:
        return type_.from_json(json.dumps(properties))
    except ParseError as error:
        raise Misconfigured(f"the template's {kind} is none of google.cloud.run.v2 ({error})") from error


def trouble_of(message: Any) -> str:
    """Why it is not ready; empty when it is."""
    condition = message.terminal_condition
    if condition.state.name == "CONDITION_SUCCEEDED":
        return ""
    return " ".join(condition.message.split()).rstrip(".") or "it is not ready"
