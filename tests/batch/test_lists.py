"""Lists: every format gives the same words; what cannot be read tells its line."""

import io
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqclip.batch.lists import Row, expand, parse_seeds, read_rows, words_of_value
from vqclip.errors import UsageError


def rows(name: str, text: str) -> list[Row]:
    Path(name).write_text(text, encoding="utf-8")
    return read_rows(name)


def test_text_is_a_prompt_a_line_with_its_options() -> None:
    found = rows(
        "a.txt",
        "# apples\n\na red apple\n a dog's house --steps 300 --seed 7\n"
        '"a - b -c" -s 32\nt-shirt, x -1\n--image-prompt a.png\n',
    )
    assert found == [
        Row(3, ("--", "a red apple")),
        Row(4, ("--steps", "300", "--seed", "7", "--", "a dog's house")),
        Row(5, ("-s", "32", "--", "a - b -c")),
        Row(6, ("--", "t-shirt, x -1")),
        Row(7, ("--image-prompt", "a.png")),
    ]


def test_all_formats_give_the_same_words() -> None:
    expected = [("--steps=5", "--gif", "--", "a, b"), ("--", "c")]
    texts = {
        "a.csv": 'prompt,steps,gif\n"a, b",5,true\nc,,\n',
        "a.tsv": "prompt\tsteps\tgif\na, b\t5\tyes\nc\t\tno\n",
        "a.jsonl": '{"prompt": "a, b", "steps": 5, "gif": true}\n"c"\n',
        "a.json": '[{"prompt": "a, b", "steps": 5, "gif": true}, "c"]',
        "a.yaml": "- prompt: a, b\n  steps: 5\n  gif: true\n- c\n",
    }
    for name, text in texts.items():
        assert [row.words for row in rows(name, text)] == expected, name


def test_lines_are_those_of_the_file() -> None:
    assert [r.line for r in rows("a.csv", 'prompt\n\n"a\nb"\nc\n')] == [3, 5]
    assert [r.line for r in rows("a.yaml", "# x\n- a\n\n- prompt: b\n  steps: 3\n- c\n")] == [
        2,
        4,
        6,
    ]


def test_lists_repeat_an_option() -> None:
    words = words_of_value({"prompt": ["a", "b"], "clip": ["x", "y:0.5"], "init_weight": 0.5})
    assert words == ("--clip=x", "--clip=y:0.5", "--init-weight=0.5", "--", "a", "b")


def test_errors_tell_the_line_and_the_rest_is_read() -> None:
    found = rows("a.jsonl", '{"prompt": "a"}\n{oops\n7\n{"prompt": "a", "steps": {}}\n"b"\n')
    assert [row.line for row in found if row.error] == [2, 3, 4]
    assert "not JSON" in (found[1].error or "")
    assert rows("a.txt", "a --gif 'x\n")[0].error == "No closing quotation"
    assert "the head has 1" in (rows("a.csv", "prompt\na,b\n")[0].error or "")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "# nothing\n", "holds no prompt"),
        ("a.yaml", "prompt: a\n", "a row an entry"),
        ("a.yaml", "- !!python/object/apply:os.system [x]\n", "refused"),
        ("a.json", "[1,", "no JSON"),
        ("none.txt", None, "cannot read the list none.txt: no such file"),
        ("a.txt", b"\xff\xfe\x00", "UTF-8"),
    ],
)
def test_lists_that_are_none(name: str, text: str | bytes | None, message: str) -> None:
    if text is not None:
        Path(name).write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UsageError, match=message):
        read_rows(name)


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, words in (("a\n", ("--", "a")), ('{"prompt": "b"}\n', ("--", "b"))):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        assert [row.words for row in read_rows("-")] == [words]


def test_braces_expand() -> None:
    words = [r.words[-1] for r in expand(Row(1, ("--", "{red,green} {apple,pear}")))]
    assert words == ["red apple", "red pear", "green apple", "green pear"]
    assert [r.words for r in expand(Row(1, ("--lr", "{0.1,0.2}", "--", "a")))] == [
        ("--lr", "0.1", "--", "a"),
        ("--lr", "0.2", "--", "a"),
    ]
    assert [r.words[0] for r in expand(Row(1, ("{a,{b,c}}d",)))] == ["ad", "bd", "ad", "cd"]
    assert [r.words[0] for r in expand(Row(1, (r"{seed} \{a,b\} c\|d",)))] == [r"{seed} {a,b} c\|d"]


@given(st.text())
def test_any_line_is_a_row_or_an_error(line: str) -> None:
    from vqclip.batch.lists import _text_rows

    for row in _text_rows(line):
        assert row.words or row.error


def test_seeds() -> None:
    assert parse_seeds("1-4") == [1, 2, 3, 4]
    assert parse_seeds("7, 1..2,7") == [7, 1, 2]
    for text in ("", "4-1", "x", "1-", "-1", "0-999999999"):
        with pytest.raises(UsageError, match="cannot read the seeds"):
            parse_seeds(text)
