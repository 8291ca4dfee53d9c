"""Service accounts, over IAM's REST API: https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliostat_gcp.deploy.resource import Found, Policy, Properties, Resource

if TYPE_CHECKING:
    from heliostat_gcp.deploy.google import Google, Rest


class ServiceAccount(Resource):
    kind = "service account"

    def __init__(self, google: Google, email: str, purpose: str) -> None:
        """`purpose`: the description of those that this deployment makes."""
        super().__init__(email)
        self._google = google
        self._purpose = purpose
        self._path = f"/v1/projects/{google.place.project}/serviceAccounts"

    @property
    def _iam(self) -> Rest:
        return self._google.rest("iam")

    def find(self) -> Found | None:
        from google.api_core.exceptions import NotFound

        try:
            properties = self._iam.get(f"{self._path}/{self.name}")
        except NotFound:
            return None
        trouble = "it is switched off" if properties.get("disabled") else ""
        return Found(properties=properties, is_ours=properties.get("description") == self._purpose, trouble=trouble)

    def create(self, wanted: Properties) -> None:
        self._iam.post(self._path, {"accountId": self.name.partition("@")[0], "serviceAccount": wanted})

    def update(self, found: Found, wanted: Properties) -> None:
        fields = [name for name in wanted if found.properties.get(name) != wanted[name]]
        if fields:
            changes = {"serviceAccount": wanted, "updateMask": ",".join(fields)}
            self._iam.patch(f"{self._path}/{self.name}", changes)
        if found.trouble:
            self._iam.post(f"{self._path}/{self.name}:enable", {})

    def delete(self) -> None:
        self._iam.delete(f"{self._path}/{self.name}")

    def policy(self) -> Policy:
        path = f"{self._path}/{self.name}:getIamPolicy"
        return self._iam.post(f"{path}?options.requestedPolicyVersion=3", {})

    def set_policy(self, policy: Policy) -> None:
        self._iam.post(f"{self._path}/{self.name}:setIamPolicy", {"policy": policy})
