"""Plain HTML elements. Text is always text: nothing that is shown is ever read as HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, Protocol, Self, TypeVar

from nicegui import events
from nicegui.elements.mixins.text_element import TextElement


class Tag(TextElement):
    """`Tag("td", "42", "number")`: an element by the name of its tag, with a text and classes. Its attributes are
    keyword arguments, with `_` for `-` and after a name that Python reserves."""

    def __init__(self, tag: str, text: str = "", classes: str = "", **attributes: Any) -> None:
        super().__init__(tag=tag, text=text)
        self._classes[:] = classes.split()
        for name, value in attributes.items():
            self.set(name, value)

    def set(self, name: str, value: Any) -> Self:
        """An attribute; None takes it away. What stays the same is not sent again."""
        key = name.rstrip("_").replace("_", "-")
        if self._props.get(key) != value:
            self._props.set_optional(key, value)
        return self

    def say(self, text: str) -> Self:
        """Change the text. What stays the same is not sent again."""
        if self.text != text:
            self.text = text
        return self

    def mark_as(self, *classes: str) -> Self:
        """Have these classes and no others."""
        if list(self._classes) != list(classes):
            self._classes[:] = classes
        return self

    def show(self, visible: bool) -> Self:
        if self.visible != visible:
            self.visible = visible
        return self

    def on_click(self, handler: Callable[[], Any]) -> Self:
        async def clicked(_: events.GenericEventArguments) -> None:
            result = handler()
            if result is not None:
                await result

        return self.on("click", clicked, [])


class Part(Protocol):
    """What stands in a list."""

    root: Tag


K = TypeVar("K")
V = TypeVar("V", bound=Part)


class Parts(Generic[K, V]):
    """The children of an element, each with a key. One that stays is not made anew: it keeps the keyboard's focus, what
    was opened in it and how far it was scrolled."""

    def __init__(self, container: Tag) -> None:
        self._container = container
        self._parts: dict[K, V] = {}

    def __iter__(self) -> Iterator[V]:
        return iter(self._parts.values())

    def __getitem__(self, key: K) -> V:
        return self._parts[key]

    def arrange(self, keys: Iterable[K], make: Callable[[K], V]) -> None:
        """Have these and no others, in this order."""
        before, self._parts = self._parts, {}
        for key in keys:
            if (part := before.pop(key, None)) is None:
                with self._container:
                    part = make(key)
            self._parts[key] = part
        for part in before.values():
            self._container.remove(part.root)
        for place, part in enumerate(self._parts.values()):
            if self._container.default_slot.children[place] is not part.root:
                part.root.move(target_index=place)


class Bar(Tag):
    """How much of something is done. A screen reader is told, too."""

    def __init__(self, label: str, classes: str = "") -> None:
        super().__init__(
            "div", classes=f"bar {classes}", role="progressbar", aria_label=label, aria_valuemin=0, aria_valuemax=100
        )
        with self:
            self._fill = Tag("div", classes="fill")

    def fill(self, percent: float, state: str, told: str) -> None:
        """`percent`: 0 to 100. `told`: the same in words."""
        # As the console has it: never 100 before all is done.
        self.set("aria_valuenow", int(percent)).set("aria_valuetext", told)
        width = f"{percent:.2f}%"
        if self._fill.style.get("width") != width:
            self._fill.style["width"] = width
        self._fill.mark_as("fill", state)
