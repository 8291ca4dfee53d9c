"""Reading a job from a document: both forms, all formats, and what is said of mistakes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from heliostat import Chunk, JobSpec, load_spec, parse_spec
from heliostat.errors import SpecError
from heliostat.model.codec import to_json
from heliostat.planning import web
from heliostat.planning.load import default_job_dir

Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def problem(path: Path | str, **options: Any) -> str:
    """What is said of a document, in one line."""
    with pytest.raises(SpecError) as raised:
        load_spec(path, **options)
    message = str(raised.value)
    assert "\n" not in message
    assert raised.value.path is None or message.startswith(f"{raised.value.path}: ")
    return message


def changed(document: dict[str, Any], changes: dict[str, Any]) -> str:
    """The document as JSON with other values at paths such as `chunks.1.id`; `...` removes a key."""
    document = json.loads(json.dumps(document))
    for path, value in changes.items():
        at: Any = document
        *way, last = path.split(".")
        for key in way:
            at = at[int(key) if key.isdecimal() else key]
        if value is ...:
            del at[last]
        else:
            at[last] = value
    return json.dumps(document)


LONG = {
    "metadata": {"totalFrames": 48, "fps": 24},
    "chunks": [
        {"id": 0, "startFrame": 0, "frameCount": 24, "outputFile": "a.mp4", "command": "draw a"},
        {"id": 1, "startFrame": 24, "frameCount": 24, "outputFile": "b.mp4", "command": "draw b"},
    ],
}
SHORT = {"frames": 48, "fps": 24, "chunkSize": 24, "output": "{chunk}.mp4", "command": ["draw", "{output}"]}


def helios_job(folder: Path) -> dict[str, Any]:
    """What `helios render --emit-job` writes: commands as strings, absolute paths, perhaps a later first frame."""
    return {
        "metadata": {"totalFrames": 60, "fps": 29.97, "width": 1920, "height": 1080, "duration": 60 / 29.97},
        "chunks": [
            {
                "id": index,
                "startFrame": 100 + 30 * index,
                "frameCount": 30,
                "outputFile": f"{folder}/chunk_{index}.mp4",
                "command": f"helios render demo.json --width 1920 --height 1080 --fps 29.97"
                f" -o {folder}/chunk_{index}.mp4 --start-frame {100 + 30 * index} --frame-count 30",
            }
            for index in range(2)
        ],
        "mergeCommand": f"helios merge '{folder}/out put.mp4' chunk_0.mp4 chunk_1.mp4",
    }


def test_the_json_of_the_helios_cli_is_read(write: Write, tmp_path: Path) -> None:
    spec = load_spec(write("demo/job.json", json.dumps(helios_job(tmp_path / "demo"))))
    assert spec.name == "demo"
    assert spec.metadata.fps == Fraction(30000, 1001)
    assert [chunk.start_frame for chunk in spec.chunks] == [100, 130]
    assert spec.chunks[1].output_file == f"{tmp_path}/demo/chunk_1.mp4"
    assert str(spec.chunks[1].command).endswith("--start-frame 130 --frame-count 30")
    assert spec.merge_command is not None


def test_outputs_that_lie_elsewhere_need_a_job_dir(write: Write, tmp_path: Path) -> None:
    path = write("job.json", json.dumps(helios_job(Path("/renders/demo"))))
    assert problem(path) == (
        f"$.chunks[0].outputFile: '/renders/demo/chunk_0.mp4' is outside of the job directory '{tmp_path}';"
        " name a directory that holds all outputs with --job-dir"
    )
    assert len(load_spec(path, job_dir="/renders").chunks) == 2


def test_an_output_may_be_named_by_way_of_a_link(write: Write, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    path = write("job.json", json.dumps(helios_job(tmp_path / "real")))
    assert load_spec(path, job_dir=tmp_path / "link").chunks
    path = write("job.json", json.dumps(helios_job(tmp_path / "link")))
    assert load_spec(path, job_dir=tmp_path / "link").chunks


TOML = r"""
name = "sunrise"
frames = "0-47"
fps = 24
chunkCount = 2
output = "chunks/{chunk:04d}.mp4"
command = ["python", "draw.py", "--start", "{start}", "--output", "{output}"]
progress = 'frame (\d+)'
env = { NAME = "value" }

[merge]
stitcher = "ffmpeg"
output = "sunrise.mp4"

[merge.options]
audioInput = ["-i", "sound.wav"]
"""
YAML = r"""
name: sunrise
frames: 0-47
fps: 24
chunkCount: 2
output: "chunks/{chunk:04d}.mp4"
command: [python, draw.py, --start, "{start}", --output, "{output}"]
progress: 'frame (\d+)'
env:
  NAME: value
merge:
  stitcher: ffmpeg
  output: sunrise.mp4
  options:
    audioInput: [-i, sound.wav]
"""
JSON = json.dumps(
    {
        "name": "sunrise",
        "frames": "0-47",
        "fps": 24,
        "chunkCount": 2,
        "output": "chunks/{chunk:04d}.mp4",
        "command": ["python", "draw.py", "--start", "{start}", "--output", "{output}"],
        "progress": r"frame (\d+)",
        "env": {"NAME": "value"},
        "merge": {"stitcher": "ffmpeg", "output": "sunrise.mp4", "options": {"audioInput": ["-i", "sound.wav"]}},
    }
)


def test_the_short_form_is_the_same_in_all_formats(write: Write) -> None:
    spec = load_spec(write("job.toml", TOML))
    assert spec.chunks[1].command == ("python", "draw.py", "--start", "24", "--output", "chunks/0001.mp4")
    assert spec.merge is not None
    assert spec.merge.options == {"audioInput": ["-i", "sound.wav"]}
    for name, text in (("job.yaml", YAML), ("job.yml", YAML), ("job.json", JSON), ("JOB.TOML", TOML)):
        assert load_spec(write(name, text)) == spec


def test_what_a_short_form_stands_for_can_be_written_down_and_read_again(write: Write) -> None:
    for frames in ('"0-47"', '"1-99:7,3,40-41"'):
        spec = load_spec(write("job.toml", TOML.replace('"0-47"', frames).replace("chunkCount = 2", "")))
        assert load_spec(write("long.json", to_json(spec))) == spec


def test_the_long_form_is_read_from_yaml_and_toml_too(write: Write) -> None:
    spec = load_spec(write("job.json", changed(LONG, {"name": "n"})))
    assert load_spec(write("job.yaml", changed(LONG, {"name": "n"}))) == spec
    toml = 'name = "n"\nmetadata = { totalFrames = 1, fps = 24 }\n[[chunks]]\nid = 0\nstartFrame = 0\nframeCount = 1\n'
    assert load_spec(write("job.toml", toml + 'outputFile = "a"\ncommand = "x"\n')).chunks[0].output_file == "a"


@pytest.mark.parametrize(
    ("place", "name"),
    [("wheel.json", "wheel"), ("dawn/job.json", "dawn"), ("dawn/render.json", "dawn"), ("dawn/x.y.json", "x.y")],
)
def test_a_job_without_a_name_gets_that_of_its_file_or_folder(write: Write, place: str, name: str) -> None:
    assert load_spec(write(place, json.dumps(LONG))).name == name


def test_a_byte_order_mark_does_no_harm(write: Write) -> None:
    for name, text in (("job.json", JSON), ("job.toml", TOML), ("job.yaml", YAML)):
        assert load_spec(write(name, b"\xef\xbb\xbf" + text.encode())).name == "sunrise"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"chunks.1.frameCount": "24"}, "$.chunks[1].frameCount: expected int, got str"),
        ({"chunks.1.frameCount": True}, "$.chunks[1].frameCount: expected int, got bool"),
        ({"chunks.1.frameCount": 1.5}, "$.chunks[1].frameCount: expected int, got float"),
        ({"chunks.1.frameCount": -1}, "$.chunks[1].frameCount: must be 1 or more, got -1"),
        ({"chunks.1.frameCount": 0}, "$.chunks[1].frameCount: must be 1 or more, got 0"),
        ({"chunks.1.frameCount": ...}, "$.chunks[1]: the key 'frameCount' is missing"),
        ({"chunks.1.frameCount": 10**16}, "$.chunks[1].frameCount: must be below 10**15, got 10000000000000000"),
        ({"chunks.1.frameCount": 10**40}, "$.chunks[1].frameCount: must be below 10**15, got far more"),
        ({"chunks.0.startFrame": -1}, "$.chunks[0].startFrame: must be 0 or more, got -1"),
        ({"chunks.1.startFrame": 20}, "$.chunks[1].startFrame: frame 20 is in $.chunks[0] too"),
        (
            {"chunks.1.startFrame": 30},
            "$.chunks[1].startFrame: frames 24 to 29 are in no chunk, between $.chunks[0] and this one",
        ),
        (
            {"chunks.1.startFrame": 25},
            "$.chunks[1].startFrame: frame 24 is in no chunk, between $.chunks[0] and this one",
        ),
        ({"metadata.totalFrames": 100}, "$.metadata.totalFrames: the chunks hold 48 of 100 frames"),
        ({"metadata.totalFrames": 20}, "$.metadata.totalFrames: is 20, and the chunks hold 48"),
        ({"metadata.totalFrames": -1}, "$.metadata.totalFrames: must be 0 or more, got -1"),
        ({"metadata.fsp": 3}, "$.metadata: unknown key 'fsp'; did you mean 'fps'?"),
        ({"metadata.fps": 0}, "$.metadata.fps: a frame rate must be above 0, got 0"),
        (
            {"metadata.fps": "fast"},
            """$.metadata.fps: expected a frame rate such as 24, 23.976 or "30000/1001", got 'fast'""",
        ),
        ({"metadata.fps": True}, '$.metadata.fps: expected a frame rate such as 24, 23.976 or "30000/1001"'),
        ({"metadata.fps": ...}, "$.metadata: the key 'fps' is missing"),
        ({"metadata.width": 0}, "$.metadata.width: must be 1 or more, got 0"),
        ({"metadata.duration": -1}, "$.metadata.duration: a duration is 0 seconds or more, got -1.0"),
        ({"chunks.1.id": 0}, "$.chunks[1].id: 0 is the id of $.chunks[0] too; ids are unique as text"),
        ({"chunks.1.id": "0"}, "$.chunks[1].id: '0' is the id of $.chunks[0] too; ids are unique as text"),
        ({"chunks.1.id": ""}, "$.chunks[1].id: a chunk's id cannot be empty"),
        ({"chunks.1.outputFile": "a.mp4"}, "$.chunks[1].outputFile: 'a.mp4' is the output of $.chunks[0] too"),
        (
            {"chunks.1.outputFile": "./x/../a.mp4"},
            "$.chunks[1].outputFile: './x/../a.mp4' is the output of $.chunks[0] too",
        ),
        ({"chunks.1.outputFile": "a.mp4/"}, "$.chunks[1].outputFile: 'a.mp4/' is the output of $.chunks[0] too"),
        (
            {"chunks.1.outputFile": "../a.mp4"},
            "$.chunks[1].outputFile: '../a.mp4' is not inside the job directory; name a file inside it",
        ),
        (
            {"chunks.1.outputFile": "x/../../a.mp4"},
            "$.chunks[1].outputFile: 'x/../../a.mp4' is not inside the job directory; name a file inside it",
        ),
        (
            {"chunks.1.outputFile": "./"},
            "$.chunks[1].outputFile: './' is not inside the job directory; name a file inside it",
        ),
        ({"chunks.1.outputFile": ""}, "$.chunks[1].outputFile: the name of the output is empty"),
        ({"chunks.1.outputFile": "a\0"}, "$.chunks[1].outputFile: a file name cannot hold the character NUL"),
        ({"chunks.1.command": ""}, "$.chunks[1].command: the command is empty"),
        ({"chunks.1.command": " \n"}, "$.chunks[1].command: the command is empty"),
        ({"chunks.1.command": []}, "$.chunks[1].command: the command is empty"),
        ({"chunks.1.command": ["", "a"]}, "$.chunks[1].command: the command is empty"),
        ({"chunks.1.command": "a\0"}, "$.chunks[1].command: a command cannot hold the character NUL"),
        ({"chunks.1.command": ["a", "\0"]}, "$.chunks[1].command: a command cannot hold the character NUL"),
        (
            {"chunks.1.command": "draw 'b"},
            "$.chunks[1].command: the command cannot be split into words: a quote is not closed",
        ),
        ({"chunks.1.command": ["a", 3]}, "$.chunks[1].command[1]: expected str, got int"),
        ({"chunks.1.command": 3}, "$.chunks[1].command: expected str or array, got int"),
        ({"chunks.1.framecount": 3}, "$.chunks[1]: unknown key 'framecount'; did you mean 'frameCount'?"),
        ({"chunks.1.step": 0}, "$.chunks[1].step: must be 1 or more, got 0"),
        ({"chunks.1.step": 2}, "$.chunks[1].step: a step other than 1 needs $.metadata.ranges"),
        ({"chunks": [3]}, "$.chunks[0]: expected object, got int"),
        ({"mergecommand": "x"}, "$: unknown key 'mergecommand'; did you mean 'mergeCommand'?"),
        (
            {"zzz": "x"},
            (
                "$: unknown key 'zzz'; there are assetsUrl, chunks, env, id, inputs, merge, mergeCommand, metadata,"
                " name, progress"
            ),
        ),
        ({"merge": {"stitcher": "ffmpeg"}}, "$.merge: the key 'output' is missing"),
        ({"merge": {"stitcher": "", "output": "f"}}, "$.merge.stitcher: the name of the stitcher is empty"),
        (
            {"merge": {"stitcher": "a", "output": "f", "option": {}}},
            "$.merge: unknown key 'option'; did you mean 'options'?",
        ),
        (
            {"merge": {"stitcher": "a", "output": "../f"}},
            "$.merge.output: '../f' is not inside the job directory; name a file inside it",
        ),
        ({"merge": {"stitcher": "a", "output": "f/"}}, "$.merge.output: 'f/' is a folder; name a file"),
        (
            {"merge": {"stitcher": "a", "output": "a.mp4"}},
            "$.merge.output: 'a.mp4' is the output of $.chunks[0] too",
        ),
        (
            {"merge": {"stitcher": "a", "output": "f"}, "mergeCommand": "x"},
            "$.mergeCommand: a job has merge or mergeCommand, not both",
        ),
        ({"mergeCommand": ""}, "$.mergeCommand: the command is empty"),
        (
            {"mergeCommand": 'join "'},
            "$.mergeCommand: the command cannot be split into words: a quote is not closed",
        ),
        (
            {"progress": "("},
            "$.progress: not a regular expression: missing ), unterminated subpattern at position 0",
        ),
        ({"progress": "frame"}, r"$.progress: needs a group that holds the frames done, such as 'frame (\d+)'"),
        ({"env": {"B": "b", "A": 1}}, "$.env.A: expected str, got int"),
        ({"env": {"A\nB": 1}}, r"$.env['A\nB']: expected str, got int"),
        ({"env": {"A=": "1"}}, "$.env: 'A=' cannot be an environment variable"),
        ({"id": "a/b"}, "$.id: a job's id is 1 to 128 characters without blanks and slashes"),
        ({"id": ".."}, "$.id: a job's id is 1 to 128 characters without blanks and slashes"),
        ({"id": 3}, "$.id: expected str or null, got int"),
        (
            {"metadata.ranges": "0-23,24-40"},
            "$.chunks[1].frameCount: must be 17 or less, to end within the range 24-40",
        ),
        ({"metadata.ranges": "0-23,50-60"}, "$.chunks: frame 50 of $.metadata.ranges is in no chunk"),
        ({"metadata.ranges": "0-46:2,1-47:2"}, "$.chunks[0].step: must be 2 as in the range 0-46:2"),
        ({"metadata.ranges": "0-23"}, "$.chunks[1].startFrame: no chunk of $.metadata.ranges begins with frame 24"),
        (
            {"metadata.ranges": "0-23,24-47", "chunks.1.startFrame": 0},
            "$.chunks[1].startFrame: frame 0 is in $.chunks[0] too",
        ),
        (
            {"metadata.ranges": "x"},
            """$.metadata.ranges: expected frames such as "1-240", "1-240:2" or "7", got 'x'""",
        ),
    ],
)
def test_a_mistake_in_the_long_form_is_told_in_one_line(write: Write, changes: dict[str, Any], expected: str) -> None:
    assert problem(write("job.json", changed(LONG, changes))) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"frames": 0}, "$.frames: a film has at least 1 frame, got 0"),
        ({"frames": -3}, "$.frames: a film has at least 1 frame, got -3"),
        ({"frames": 10**15}, "$.frames: must be below 10**15"),
        ({"frames": True}, "$.frames: expected int or str, got bool"),
        ({"frames": "9-1"}, "$.frames: the range 9-1 runs backwards; write 1-9"),
        ({"frames": "1-5,3"}, "$.frames: frame 3 is in 1-5 and in 3; list every frame once"),
        ({"frames": ...}, "$: the key 'frames' is missing"),
        ({"fps": 0}, "$.fps: a frame rate must be above 0, got 0"),
        ({"chunkSize": 0}, "$.chunkSize: must be 1 or more, got 0"),
        ({"chunkCount": 3}, "$.chunkCount: say chunkSize or chunkCount, not both"),
        ({"chunkSize": ..., "chunkCount": 49}, "$.chunkCount: 49 chunks are more than there are frames (48)"),
        (
            {"chunkSize": 1, "frames": 10**9},
            "$.chunkSize: makes 1000000000 chunks, and a job has at most 10000000; make them larger",
        ),
        ({"chunksize": 3}, "$: unknown key 'chunksize'; did you mean 'chunkSize'?"),
        ({"output": "x.mp4"}, "$.output: all chunks would have the same output; put {chunk} into it"),
        ({"output": "{count}.mp4"}, "$.output: all chunks would have the same output; put {chunk} into it"),
        ({"output": "{start_time:.0f}", "chunkSize": 2}, "$.output: '0' is the output of chunk 0 too"),
        (
            {"output": "../{chunk}.mp4"},
            "$.output: '../0.mp4' is not inside the job directory; name a file inside it",
        ),
        (
            {"output": "{output}"},
            (
                "$.output: unknown placeholder {output}; there are {start} {end} {count} {step} {chunk} {fps} {width}"
                " {height} {start_time} {duration}"
            ),
        ),
        ({"output": "{chunk}{width}"}, "$.output: {width} needs the key 'width' in the document"),
        ({"command": []}, "$.command: the command is empty"),
        ({"command": ""}, "$.command: the command is empty"),
        ({"command": ["", "{start}"]}, "$.command: the command is empty"),
        ({"command": ["draw", "{strat}"]}, "$.command[1]: unknown placeholder {strat}; did you mean {start}?"),
        ({"command": "draw {strat}"}, "$.command: unknown placeholder {strat}; did you mean {start}?"),
        ({"command": "draw '"}, "$.command: the command cannot be split into words: a quote is not closed"),
        ({"command": ["draw", 3]}, "$.command[1]: expected str, got int"),
        ({"merge": {"stitcher": "a", "output": "1.mp4"}}, "$.merge.output: '1.mp4' is the output of chunk 1 too"),
        ({"env": {"A": 1}}, "$.env.A: expected str, got int"),
        ({"width": 0}, "$.width: must be 1 or more, got 0"),
        ({"progress": "["}, "$.progress: not a regular expression: unterminated character set at position 0"),
    ],
)
def test_a_mistake_in_the_short_form_is_told_in_one_line(write: Write, changes: dict[str, Any], expected: str) -> None:
    assert problem(write("job.json", changed(SHORT, changes))) == expected


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("job.json", "", "PATH is empty; write a job into it"),
        ("job.json", " \n ", "PATH is empty; write a job into it"),
        ("job.toml", "", "PATH is empty; write a job into it"),
        ("job.yaml", "# nothing but this", "PATH is empty; write a job into it"),
        ("job.json", "{", "PATH is no valid JSON: line 1, column 2: it ends too early"),
        ("job.json", '{"é": 1,\n "b": 2,,}', "PATH is no valid JSON: line 2, column 9: object keys must be strings"),
        ("job.json", '{"fps": NaN}', "PATH is no valid JSON: line 1, column 9: invalid character"),
        ("job.json", "[]", "$: expected object, got array"),
        ("job.json", b"\xff\xfe{\0", "PATH is not UTF-8 text (byte 0); save it as UTF-8"),
        ("job.json", b'{"name":"\xe9"}', "PATH is not UTF-8 text (byte 9); save it as UTF-8"),
        ("job.toml", b"a = '\xe9'", "PATH is not UTF-8 text (byte 5); save it as UTF-8"),
        ("job.yaml", b"a: \xe9", "PATH is not UTF-8 text (byte 3); save it as UTF-8"),
        ("job.json", '{"a":' * 100_000, "PATH is nested too deeply"),
        ("job.toml", "a = \n", "PATH is no valid TOML: line 1, column 5: Invalid value"),
        ("job.toml", "a = 1\na = 2", "PATH is no valid TOML: line 2, column 6: Cannot overwrite a value"),
        ("job.yaml", "a: 1\nb: [1\n", "PATH is no valid YAML: line 3, column 1: did not find expected ',' or ']'"),
        (
            "job.yaml",
            "a: !!python/name:os.system x",
            (
                "PATH is no valid YAML: line 1, column 4: could not determine a constructor for the tag"
                " 'tag:yaml.org,2002:python/name:os.system'"
            ),
        ),
        ("job.yaml", "just text", "$: expected object, got str"),
        ("job.yaml", "1: 2", "$: a key is no text; write it in quotes"),
        ("job.txt", "x", "PATH is no job file; the name of one ends in .json, .toml, .yaml or .yml"),
        (
            "job.toml",
            "frames = 3\nfps = nan\noutput = 'x'\ncommand = 'x'",
            """$.fps: expected a frame rate such as 24, 23.976 or "30000/1001", got 'nan'""",
        ),
    ],
)
def test_what_is_no_document_is_told_with_line_and_column(
    write: Write, name: str, content: str | bytes, expected: str
) -> None:
    path = write(name, content)
    assert problem(path) == expected.replace("PATH", str(path))


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    assert problem(tmp_path / "no.json") == f"{tmp_path}/no.json does not exist; give the path of a job file"
    assert problem(tmp_path) == f"{tmp_path} is a directory; give the path of a job file"
    assert problem("s3://bucket/job.json") == (
        "s3://bucket/job.json cannot be read; give a path or an address that begins with https://"
    )


def test_a_million_chunks_in_either_form(write: Write) -> None:
    keys = {
        "frames": 10_000_000,
        "chunkSize": ...,
        "chunkCount": 1_000_000,
        "command": "draw --from {start} of={output}",
    }
    short = load_spec(write("job.json", changed(SHORT, keys)))
    assert len(short.chunks) == 1_000_000
    assert short.chunks[-1] == Chunk(
        id=999_999,
        start_frame=9_999_990,
        frame_count=10,
        output_file="999999.mp4",
        command=("draw", "--from", "9999990", "of=999999.mp4"),
    )
    assert load_spec(write("long.json", to_json(short))).chunks == short.chunks


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """Serves `server.answers`: path to (status, content type, content); an unknown path is never answered."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = server.answers.get(self.path.partition("?")[0])  # type: ignore[attr-defined]
            if answer is None:
                released.wait(60)
                return
            status, kind, content = answer
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    released = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.answers = {}  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    released.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_document_is_read_from_the_web(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    server.answers["/jobs/dawn.toml"] = (200, "text/plain", TOML.replace('name = "sunrise"', "").encode())
    server.answers["/jobs/17"] = (200, "application/json; charset=utf-8", json.dumps(LONG).encode())
    address = f"http://127.0.0.1:{server.server_port}"
    assert load_spec(f"{address}/jobs/dawn.toml?token=secret").name == "dawn"
    spec: JobSpec = load_spec(f"{address}/jobs/17")
    assert len(spec.chunks) == 2
    assert default_job_dir(f"{address}/jobs/17") == tmp_path


def test_what_the_web_refuses_is_told_without_secrets(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "PATIENCE", 0.2)
    server.answers["/no.json"] = (404, "text/html", b"<html>")
    server.answers["/job"] = (200, "text/html", b"<html>")
    host = f"127.0.0.1:{server.server_port}"
    shown = f"http://{host}"
    assert problem(f"http://{host}/no.json?token=secret") == (
        f"{shown}/no.json cannot be read (the server answers 404 Not Found); check the address"
    )
    assert problem(f"http://{host}/job") == (
        f"{shown}/job is no job file; the name of one ends in .json, .toml, .yaml or .yml"
    )
    assert problem(f"http://{host}/silent.json") == (
        f"{shown}/silent.json cannot be read (the server has been silent for 0 seconds); check the address"
    )
    server.shutdown()
    server.server_close()
    assert problem(f"http://{host}/no.json").startswith(f"{shown}/no.json cannot be read (Connection refused)")


def test_a_file_url_is_a_path(write: Write, tmp_path: Path) -> None:
    path = write("a b/job.json", json.dumps(LONG))
    assert load_spec(path.as_uri()).name == "a b"
    assert default_job_dir(path.as_uri()) == tmp_path / "a b"


def test_the_job_directory_is_the_documents_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_job_dir("a/job.toml") == tmp_path / "a"
    assert default_job_dir("job.toml") == tmp_path


def test_the_content_of_a_document_will_do(tmp_path: Path) -> None:
    content = b'frames = 10\nchunkSize = 5\noutput = "{chunk}.txt"\ncommand = ["draw", "{output}"]\nfps = 24\n'
    (tmp_path / "sunset.toml").write_bytes(content)
    assert parse_spec(content, "sunset.toml", job_dir=tmp_path) == load_spec(tmp_path / "sunset.toml")
    assert parse_spec(content, "job.toml", job_dir=tmp_path).name == tmp_path.name
    with pytest.raises(SpecError, match=r"^job\.exe is no job file"):
        parse_spec(content, "job.exe", job_dir=tmp_path)
    with pytest.raises(SpecError, match=r"^sunset\.json is no valid JSON: line 1, column"):
        parse_spec(content, "sunset.json", job_dir=tmp_path)
