"""What is kept and forwarded of an output stream."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from heliostat.worker.transcript import LONGEST_LINE, TAIL, Transcript


def collect(blocks: list[bytes], limit: int = 1 << 20) -> tuple[Transcript, str, bytes]:
    logged: list[str] = []
    transcript = Transcript("stdout", lambda _, text: logged.append(text), limit=limit)
    searched = b"".join([*map(transcript.feed, blocks), transcript.close()])
    return transcript, "".join(logged), searched


@given(st.lists(st.text(alphabet="aé☀\n\r", max_size=12)), st.integers(1, 7))
def test_however_it_is_cut_the_text_is_the_same(pieces: list[str], size: int) -> None:
    data = "".join(pieces).encode()
    blocks = [data[at : at + size] for at in range(0, len(data), size)]
    transcript, logged, searched = collect(blocks)
    end = "\n" if data and data[-1:] not in b"\r\n" else ""
    assert logged == data.decode() + end
    assert searched == data
    assert transcript.tail == data.decode()


@given(st.lists(st.binary(max_size=30), max_size=30), st.integers(0, 200))
def test_with_any_limit_the_log_is_made_of_whole_lines(blocks: list[bytes], limit: int) -> None:
    _, logged, _ = collect(blocks, limit)
    assert not logged or logged[-1] in "\r\n"


def test_the_tail_is_cut_between_characters() -> None:
    transcript, _, _ = collect(["☀".encode() * 4000])
    assert set(transcript.tail) == {"☀"}
    assert TAIL - 3 < len(transcript.tail.encode()) <= TAIL


def test_a_line_without_end_is_cut_and_not_searched() -> None:
    data = b"x" * (LONGEST_LINE + 1)
    _, logged, searched = collect([data, b"frame=1\n"])
    assert logged == data.decode() + "\nframe=1\n"
    assert searched == b"frame=1\n"


def test_short_of_a_tail_everything_is_forwarded_in_the_end() -> None:
    lines = [f"{number}\n".encode() for number in range(100)]
    _, logged, _ = collect(lines, limit=20)
    assert logged == b"".join(lines).decode()
