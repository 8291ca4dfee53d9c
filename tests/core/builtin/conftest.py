"""What the tests of the built-ins need."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("heliostat.testing.repository", "heliostat.testing.repository_model")
