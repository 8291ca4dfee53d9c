"""The artifact store `gcs` keeps the contract of artifact stores."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from heliostat import ArtifactStore
from heliostat.testing import ArtifactStoreContract


class TestGcsArtifactStore(ArtifactStoreContract):
    @pytest.fixture
    def under_test(self, open_store: Callable[[], ArtifactStore]) -> Callable[[], ArtifactStore]:
        return open_store
