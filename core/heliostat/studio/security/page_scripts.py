"""Puts the nonce of each answer into the scripts of NiceGUI's page template; see `headers`."""

from __future__ import annotations

from collections.abc import Callable

from jinja2 import BaseLoader, Environment

from heliostat.studio.security.headers import NONCE

_SIGNED = f'<script nonce="{{{{ request.scope[{NONCE!r}] }}}}"'


class _SigningLoader(BaseLoader):
    """The template's own scripts bear the nonce; what is put into the template when it is rendered does not."""

    def __init__(self, inner: BaseLoader) -> None:
        self._inner = inner

    def get_source(self, environment: Environment, template: str) -> tuple[str, str | None, Callable[[], bool] | None]:
        source, name, is_current = self._inner.get_source(environment, template)
        return source.replace("<script", _SIGNED), name, is_current

    def list_templates(self) -> list[str]:
        return self._inner.list_templates()


def sign_page_scripts(environment: Environment) -> None:
    """`environment`: the one that NiceGUI renders its pages in. Doing it twice changes nothing."""
    if environment.loader is not None and not isinstance(environment.loader, _SigningLoader):
        environment.loader = _SigningLoader(environment.loader)
        if environment.cache is not None:
            environment.cache.clear()
