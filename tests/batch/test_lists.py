"""Lists: every format gives the same words, and errors have line numbers."""

import io
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqclip.batch.entries import Row, words_of_value
from vqclip.batch.lists import expand, parse_seeds, read_rows
from vqclip.errors import UsageError


def rows(name: str, text: str) -> list[Row]:
    Path(name).write_text(text, encoding="utf-8")
    return read_rows(name)


def test_text_has_one_prompt_per_line_with_options() -> None:
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


def test_line_numbers_match_the_file() -> None:
    assert [r.line for r in rows("a.csv", 'prompt\n\n"a\nb"\nc\n')] == [3, 5]
    assert [r.line for r in rows("a.yaml", "# x\n- a\n\n- prompt: b\n  steps: 3\n- c\n")] == [
        2,
        4,
        6,
    ]


def test_lists_repeat_options() -> None:
    words = words_of_value({"prompt": ["a", "b"], "clip": ["x", "y:0.5"], "init_weight": 0.5})
    assert words == ("--clip=x", "--clip=y:0.5", "--init-weight=0.5", "--", "a", "b")


def test_errors_name_the_line_and_other_rows_are_read() -> None:
    found = rows("a.jsonl", '{"prompt": "a"}\n{oops\n7\n{"prompt": "a", "steps": {}}\n"b"\n')
    assert [row.line for row in found if row.error] == [2, 3, 4]
    assert "not JSON" in (found[1].error or "")
    assert rows("a.txt", "a --gif 'x\n")[0].error == "No closing quotation"
    assert "the header has 1" in (rows("a.csv", "prompt\na,b\n")[0].error or "")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "# nothing\n", "contains no prompt"),
        ("a.yaml", "prompt: a\n", "one entry per row"),
        ("a.yaml", "- !!python/object/apply:os.system [x]\n", "refused"),
        ("a.json", "[1,", "not JSON"),
        ("none.txt", None, "cannot read the list none.txt: no such file"),
        ("a.txt", b"\xff\xfe\x00", "UTF-8"),
        ("a.csv", "prompt;steps\na;3\n".encode("utf-16-le"), "not UTF-8 text"),
        ("a.csv", "prompt;steps\na;3\n".encode("utf-32"), "not UTF-8 text"),
        ("a.csv", "prompt\nä\n".encode("cp1252"), "a table as 'CSV UTF-8'"),
        ("a.txt", "a\0b\n", "not UTF-8 text"),
        ("a.xlsx", b"PK\3\4\x14\0\6\0", "is a spreadsheet.*save the list as CSV"),
        ("a.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is a spreadsheet"),
        ("a.csv", "<!DOCTYPE html><html>Sign in</html>", "is a web page that was saved instead"),
        ("a.txt", "{\\rtf1\\ansi a fox\\par}", "is a document: save the list as text"),
        (
            "a.csv",
            "a red apple\na fox\n",
            "no column 'prompt', only 'a red apple': name the columns",
        ),
        ("a.csv", "text,steps\na,3\n", "no column 'prompt', only 'text, steps'"),
    ],
)
def test_invalid_lists(name: str, text: str | bytes | None, message: str) -> None:
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
def test_any_line_gives_a_row_or_an_error(line: str) -> None:
    from vqclip.batch.formats import _text_rows

    for row in _text_rows(line):
        assert row.words or row.error


def test_seeds() -> None:
    assert parse_seeds("1-4") == [1, 2, 3, 4]
    assert parse_seeds("7, 1..2,7") == [7, 1, 2]
    for text in ("", "4-1", "x", "1-", "-1", "0-999999999"):
        with pytest.raises(UsageError, match="cannot read the seeds"):
            parse_seeds(text)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('"Starry night" by van Gogh', ("--", '"Starry night" by van Gogh')),
        ("'80s synthwave and '90s grunge", ("--", "'80s synthwave and '90s grunge")),
        ("'tis the season", ("--", "'tis the season")),
        ('"a --b" --steps 3', ("--steps", "3", "--", "a --b")),
        ('"a red apple"', ("--", "a red apple")),
        ("a fox --seed 3 # note", ("--seed", "3", "--", "a fox")),
        ("a\x0cb\u2028c", ("--", "a\x0cb\u2028c")),
    ],
)
def test_prompts_with_quotes_and_rare_characters(line: str, words: tuple[str, ...]) -> None:
    assert [row.words for row in rows("a.txt", f"{line}\n")] == [words]


def test_tables_from_other_programs() -> None:
    expected = [Row(2, ("--steps=3", "--", "yes")), Row(3, ("--", "#1 fan"), ("gif",))]
    text = "Prompt;Steps;GIF\nyes;3;\n#1 fan;;no\n"
    assert rows("a.csv", text) == expected
    assert [row.words for row in rows("b.csv", f"sep=;\n{text}")] == [r.words for r in expected]
    Path("c.csv").write_bytes(text.replace(";", ",").encode("utf-16"))
    assert read_rows("c.csv") == expected
    with pytest.raises(UsageError, match="two columns in the list are named init-weight"):
        rows("d.csv", "prompt,init_weight,init weight\na,1,2\n")


@pytest.mark.parametrize(
    "text",
    [
        'prompt,lr\r"a; b",0.5\r',
        'PROMPT;"LR"\r\n"a; b";0,5\r\n',
        '"Prompt"|lr\n"a; b"|0.5\n',
        'SEP=;\r\nprompt;lr\r\n"a; b";0,5\r\n',
        '\ufeff"sep=\t"\nprompt\tlr\n"a; b"\t0.5\n',
        ',,\n,prompt,lr,\n,,,\n,"a; b",0.5,\n',
        '"prompt";"lr"\n"a; b";"0,5"\n',
    ],
)
def test_table_variants(text: str) -> None:
    assert [row.words for row in rows("a.csv", text)] == [("--lr=0.5", "--", "a; b")]


def test_quoted_comma_in_the_header_is_not_a_delimiter() -> None:
    (row,) = rows("a.csv", '"prompt";"size, pixels"\na;64\n')
    assert row.words == ("--size,-pixels=64", "--", "a")


@pytest.mark.parametrize("cell", ['"1,000"', "1.000", '"12,345,678"', '"1,250"'])
def test_thousands_separators_are_not_decimals(cell: str) -> None:
    (row,) = rows("a.csv", f"prompt,steps\na,{cell}\n")
    plain = cell.strip('"')
    assert row.error == f"steps: '{plain}' is ambiguous: write it without a thousands separator"


def test_decimals_are_not_thousands_separators() -> None:
    text = "prompt;lr;temperature;seeds;negative prompt\na;0,125;1.250;1,200;1,000\n"
    (row,) = rows("a.csv", text)
    assert row.words == (
        "--lr=0.125",
        "--temperature=1.250",
        "--seeds=1,200",
        "--",
        "a",
        "1,000:-0.5",
    )


def test_cells_without_a_column_name() -> None:
    named, other = rows("a.csv", "prompt,,steps\na,,3\nb,a note,3\n")
    assert named.words == ("--steps=3", "--", "a")
    assert other.error == "'a note' is in a column without a name: name the column, or clear it"


def test_excel_unicode_text_is_a_table() -> None:
    Path("a.txt").write_bytes("Prompt\tSteps\r\nein grüner Apfel\t3\r\n".encode("utf-16"))
    assert read_rows("a.txt") == [Row(2, ("--steps=3", "--", "ein grüner Apfel"))]
    assert rows("b.txt", "a prompt\nof two\tcolumns\n")[0].words == ("--", "a prompt")


def test_json_from_other_programs() -> None:
    text = '[\n {"prompt": "a",\n  "size": [32, 48]},\n "b"\n,\n {"seeds": [1, 2], "gif": false}]'
    expected = [
        Row(2, ("--size=32x48", "--", "a")),
        Row(4, ("--", "b")),
        Row(6, ("--seeds=1,2",), ("gif",)),
    ]
    assert rows("a.json", text) == expected
    assert rows("b.jsonl", '{"prompt": "a\u2028b"}\n')[0].words == ("--", "a\u2028b")
    Path("c.jsonl").write_text('"\\ud800"\n{"prompt": "fine"}\n')
    (half, fine) = read_rows("c.jsonl")
    assert half.error == "half a character, \\ud800"
    assert fine.words == ("--", "fine")


@pytest.mark.parametrize(
    ("text", "kind", "count"),
    [('{ "prompt":"a"}\n', None, 1), ('["a", "b"]', None, 2), ("prompt,steps\na,3\n", "csv", 1)],
)
def test_format_detection_on_standard_input(
    text: str, kind: str | None, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    found = read_rows("-", kind)
    assert [row.words[-1] for row in found] == ["a", "b"][:count]


@pytest.mark.slow
def test_too_many_rows_are_refused_before_expansion() -> None:
    with pytest.raises(UsageError, match="more than 100000 rows"):
        rows("a.txt", "{a,b}" * 40 + "\n")
