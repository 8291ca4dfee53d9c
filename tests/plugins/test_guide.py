"""The plugin author's guide says what the code does."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import shlex
from collections.abc import Callable, Iterator
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import msgspec
import pluggy
import pytest
from typer.testing import CliRunner

import heliostat.testing
from heliostat import (
    Chunk,
    ChunkRequest,
    JobExecutionOptions,
    JobExecutor,
    JobSpec,
    Metadata,
    StitchRequest,
    errors,
    hookspecs,
    output_key,
)
from heliostat.cli.app import COMMANDS, make_app
from heliostat.cli.plugin_use import checked_settings
from heliostat.cli.scaffold.names import Names
from heliostat.cli.scaffold.writer import render
from heliostat.errors import AttemptError, StitchFailed
from heliostat.executor import execution
from heliostat.executor.retry import LOST_LIMIT, RetryPolicy
from heliostat.hookspecs import PROJECT, Register
from heliostat.plugins import KINDS, Registration
from heliostat.testing import ScriptedWorker
from heliostat.worker.runtime import HEARTBEAT

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "plugins" / "README.md").read_text(encoding="utf-8")
PUBLIC = ("heliostat", "heliostat.errors", "heliostat.worker", "heliostat.testing")


def blocks(language: str, text: str = GUIDE) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def section(heading: str) -> str:
    """The text below a heading, up to the next one of any level."""
    found = re.search(rf"^#+ {re.escape(heading)}$\n(.*?)(?=^#+ |\Z)", without_code(GUIDE), re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found[1]


def without_code(text: str) -> str:
    """With the `#` of comments in code out of the way of headings."""
    return re.sub(r"```.*?```", lambda block: re.sub(r"^#", " #", block[0], flags=re.MULTILINE), text, flags=re.DOTALL)


def rows(text: str) -> list[list[str]]:
    """The cells of a table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def public(module: str) -> set[str]:
    """The names that a plugin may import."""
    found = importlib.import_module(module)
    if module == "heliostat.errors":
        return {name for name, value in vars(found).items() if inspect.isclass(value) and value.__module__ == module}
    return set(found.__all__)


def hooks() -> dict[str, Callable[..., None]]:
    manager = pluggy.PluginManager(PROJECT)
    return {
        name: getattr(hookspecs, name)
        for name in dir(hookspecs)
        if manager.parse_hookspec_opts(hookspecs, name) is not None
    }


# --- the code that it shows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.strip().splitlines()[-1][:40])
def test_code_compiles_and_imports_public_names_that_exist(code: str) -> None:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "heliostat":
            assert node.module in PUBLIC
            for alias in node.names:
                assert alias.name in public(node.module), f"{node.module} has no public {alias.name}"
                assert getattr(importlib.import_module(node.module), alias.name) is not None
        elif isinstance(node, ast.Import):
            assert not [alias.name for alias in node.names if alias.name.split(".")[0] == "heliostat"]


@pytest.mark.parametrize("module", ["adapter.py", "options.py", "plugin.py"])
def test_the_adapter_is_the_one_that_plugin_new_writes(module: str) -> None:
    assert scaffold()[f"heliostat_my_farm/{module}"] in blocks("python")


def test_the_contract_test_is_the_one_that_plugin_new_writes() -> None:
    assert scaffold()["tests/test_contract.py"] in blocks("python")


def test_it_tells_of_every_file_that_plugin_new_writes() -> None:
    named = {
        name for cells in rows(section("1. Start with one that works")) for name in re.findall(r"`([^`]+)`", cells[0])
    }
    assert named == set(scaffold()) - {"heliostat_my_farm/__init__.py"}


def scaffold() -> dict[str, str]:
    return {str(path): text for path, text in render(Names.of("my-farm"))}


async def test_the_worker_without_the_job_directory_runs_as_shown(tmp_path: Path) -> None:
    (code,) = [code for code in blocks("python") if "RemoteWorker" in code]
    assert "/var/tmp/heliostat" in code
    names: dict[str, Any] = {}
    exec(compile(code.replace("/var/tmp/heliostat", str(tmp_path / "worker")), "plugins/README.md", "exec"), names)
    command = ["sh", "-c", 'echo light > "$0"', "a.ts"]
    chunk = Chunk(id=0, start_frame=0, frame_count=1, output_file="a.ts", command=tuple(command))
    request = ChunkRequest(
        job_id="job",
        chunk=chunk,
        attempt=1,
        attempt_id="1",
        command=command,
        job_dir="/nowhere",
        artifacts=f"file://{tmp_path}/store",
    )
    result = await names["work_elsewhere"](request, Silent())
    assert (result.exit_code, [output.path for output in result.outputs]) == (0, ["a.ts"])
    assert (tmp_path / "store" / output_key("job", "a.ts")).read_text() == "light\n"


class Silent:
    def frames_done(self, frames: float, /) -> None: ...

    def log(self, stream: str, text: str, /) -> None: ...

    def heartbeat(self) -> None: ...


def test_the_entry_point_is_the_one_that_plugin_new_writes() -> None:
    (shown,) = blocks("toml")
    assert shown in scaffold()["pyproject.toml"]


def test_commands_and_their_options_exist() -> None:
    runner, seen = CliRunner(), set()
    for line in "".join(blocks("sh")).splitlines():
        program, *arguments = shlex.split(line)
        if program != "heliostat":
            continue
        command = arguments[: 2 if arguments[0] == "plugin" else 1]
        assert command[0] in COMMANDS
        shown = runner.invoke(make_app(), [*command, "--help"])
        assert shown.exit_code == 0, shown.output
        for argument in arguments:
            assert not argument.startswith("--") or f"{argument} " in shown.output, line
        seen.add(command[0])
    assert seen == {"plugin", "render", "plugins"}


def test_names_in_the_text_exist() -> None:
    """Those in CamelCase: public names, or what the examples define."""
    known = {name for module in PUBLIC for name in public(module)}
    known |= {
        node.name for code in blocks("python") for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ClassDef)
    }
    known |= {"CancelledError", "Struct"}
    text = re.sub(r"```.*?```", "", GUIDE, flags=re.DOTALL)
    mentioned = set(re.findall(r"`@?((?:[A-Z][a-z]+){2,})", text))
    assert len(mentioned) > 20
    assert mentioned - known == set()
    for call in re.findall(r"`(\w+)\(", text):
        if call not in ("register", "handle", "stitch", *hooks()) and not call.startswith("make_"):
            assert any(call in public(module) for module in PUBLIC) or call in ("frames_of", "lambda"), call


# --- hooks -----------------------------------------------------------------------------------------------------------


def test_every_hook_is_there_with_its_arguments_and_none_is_invented() -> None:
    shown = dict(re.findall(r"^### (register_\w+)\((.*)\)$", GUIDE, re.MULTILINE))
    assert shown == {name: ", ".join(inspect.signature(hook).parameters) for name, hook in hooks().items()}


def test_register_is_shown_as_it_is() -> None:
    signature = inspect.signature(Register.__call__)
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for name, parameter in signature.parameters.items()
        if name != "self"
    ]
    shown = str(inspect.Signature(bare)).replace("''", '""')
    assert f"\n`register{shown}`\n" in GUIDE
    assert re.findall(r"^- `(\w+)`:", section("Hooks"), re.MULTILINE) == [parameter.name for parameter in bare]


class Example:
    """What a hook's example registers. Modules that only its author has are not imported before the factory runs."""

    def __init__(self, hook: str) -> None:
        (code,) = [
            code for code in blocks("python") if f"def {hook}(" in code and "heliostat_my_farm.options" not in code
        ]
        names: dict[str, Any] = {}
        exec(compile(code, "plugins/README.md", "exec"), names)
        entries: list[Registration] = []

        def register(name: str, factory: Any, *, options: Any = None, summary: str = "") -> None:
            entries.append(
                Registration(
                    kind=next(kind for kind, its in KINDS.items() if its == hook),
                    name=name,
                    factory=factory,
                    options=options,
                    summary=summary,
                    plugin="guide",
                    distribution="guide",
                )
            )

        names[hook](register)
        (self.entry,) = entries
        self.factory = self.entry.factory
        self.options = self.entry.options


@pytest.mark.parametrize("hook", [hook for hook in hooks() if hook != "register_worker_adapters"])
def test_every_hook_has_an_example_that_registers(hook: str) -> None:
    example = Example(hook)
    assert example.entry.summary
    if hook in ("register_repositories", "register_artifact_stores"):
        assert example.options is not None
        assert [field.name for field in msgspec.structs.fields(example.options)] == ["url"]


async def test_the_sink_of_the_example_hears_a_job(tmp_path: Path) -> None:
    example = Example("register_progress_sinks")
    assert example.options is not None
    sink = example.factory(example.options(path=str(tmp_path / "dots")))
    chunks = tuple(
        Chunk(id=index, start_frame=index, frame_count=1, output_file=f"{index}.ts", command=("true",))
        for index in range(3)
    )
    spec = JobSpec(metadata=Metadata(total_frames=3, fps=Fraction(24)), chunks=chunks)
    await JobExecutor(ScriptedWorker()).execute(spec, JobExecutionOptions(job_dir=tmp_path, sinks=[sink]))
    assert (tmp_path / "dots").read_text() == "..."


async def test_the_stitcher_of_the_example_joins_and_leaves_nothing_behind(tmp_path: Path) -> None:
    stitcher = Example("register_stitchers").factory()
    spec = JobSpec(metadata=Metadata(total_frames=2, fps=Fraction(24)), chunks=())
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"part {name}, ")
    output = await stitcher.stitch(StitchRequest(spec=spec, job_dir=str(tmp_path), parts=("a", "b"), output="film"))
    assert (tmp_path / "film").read_text() == "part a, part b, "
    assert (output.path, output.size) == ("film", 16)
    with pytest.raises(StitchFailed, match="look whether they are all there"):
        await stitcher.stitch(StitchRequest(spec=spec, job_dir=str(tmp_path), parts=("a", "c"), output="film"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "film"]


def test_the_commands_of_the_example_run() -> None:
    app = Example("register_commands").factory()
    assert CliRunner().invoke(app, ["deploy", "north"]).output == "deployed to north\n"


# --- options, failures, promises -------------------------------------------------------------------------------------


class Zone(Enum):
    a = "a"


class Labels(msgspec.Struct):
    team: str


class Several(msgspec.Struct):
    host: str
    slots: int
    grace: float
    gpu: bool
    zone: Literal["a", "b"]
    hosts: tuple[str, ...]
    labels: dict[str, str]


class Others(Several):
    zone: Zone  # type: ignore[assignment]
    hosts: list[str]  # type: ignore[assignment]
    labels: Labels  # type: ignore[assignment]


@pytest.mark.parametrize("options", [Several, Others])
def test_options_are_written_as_it_says(options: type[Several]) -> None:
    expected = {
        "host": "render1",
        "slots": 4,
        "grace": 0.5,
        "gpu": True,
        "zone": "a",
        "hosts": ["a", "b"],
        "labels": {"team": "light"},
    }
    settings = [setting for cells in rows(section("Options")) for setting in re.findall(r"`(\w+=[^`]+)`", cells[1])]
    assert {setting.partition("=")[0] for setting in settings} == set(expected)
    entry = Registration(
        kind="worker_adapter", name="x", factory=object, options=options, summary="", plugin="x", distribution="x"
    )
    base = dict(setting.split("=", 1) for setting in settings)
    for setting in settings:
        key, _, value = setting.partition("=")
        converted = checked_settings(entry, {**base, key: value})[key]
        assert (list(converted) if key == "hosts" else converted) == expected[key]


def attempt_errors(base: type[AttemptError] = AttemptError) -> Iterator[type[AttemptError]]:
    for error in base.__subclasses__():
        if error.__module__ == errors.__name__:
            yield error
            yield from attempt_errors(error)


def cost(error: type[AttemptError]) -> str:
    """As the retry policy has it, of a chunk that may be tried twice."""
    policy = RetryPolicy(retries=1, delay=0.0)
    times = 0
    while times < 100 and policy.after(0, error.cause) is not None:
        times += 1
    return {0: "–", 1: "yes", LOST_LIMIT: f"no, up to {LOST_LIMIT} times a chunk", 100: "no"}[times]


def test_every_error_of_an_attempt_is_in_the_table_with_its_cause_and_cost() -> None:
    shown = [tuple(cell.strip("`") for cell in cells[:3]) for cells in rows(section("Failures"))]
    assert shown == [(error.__name__, error.cause.value, cost(error)) for error in attempt_errors()]


def test_numbers_are_those_of_the_code() -> None:
    assert f"After {execution.STOP_PATIENCE:g} seconds the executor waits no longer" in " ".join(GUIDE.split())
    assert f"comes every {HEARTBEAT:g} seconds" in " ".join(GUIDE.split())


# --- testing ---------------------------------------------------------------------------------------------------------


def test_every_contract_suite_is_in_the_table() -> None:
    suites = {name for name in heliostat.testing.__all__ if name.endswith("Contract") and name != "Contract"}
    assert {cells[0].strip("`") for cells in rows(section("Contract suites"))} == suites


def test_every_field_of_what_is_under_test_is_explained() -> None:
    fields = [field.name for field in dataclasses.fields(heliostat.testing.WorkerUnderTest)]
    assert [cells[0].strip("`") for cells in rows(section("5. Prove it"))] == fields


def test_the_fakes_of_the_example_are_workers() -> None:
    (code,) = [code for code in blocks("python") if "FaultyWorker" in code]
    names: dict[str, Any] = {}
    exec(compile(code, "plugins/README.md", "exec"), names)
    assert isinstance(names["scripted"], JobExecutor)
    assert isinstance(names["faulty"], JobExecutor)


def test_links_within_the_page_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", without_code(GUIDE), re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    links = set(re.findall(r"\]\(#([^)]+)\)", GUIDE))
    assert links
    assert links <= anchors
