"""The program that makes all figures again, with rows of a moment."""

import json
import subprocess
import sys

import pytest

from benchmarks import run
from benchmarks.figures import FIGURES, Figure
from benchmarks.measuring import ROOT
from myxtts.errors import ConfigError, MyXTTSError

LINE = '{"measure": "token", "coqui": 2.0, "ours": 1.0, "range": {"coqui": [1, 3]}, "taken": {}}'
PRINTED = LINE.replace(" ", "").replace("{", "{{").replace("}", "}}")
FIGURE = Figure("good", "Speed", f"-c print('{PRINTED}')")
BROKEN = Figure("broken", "Speed", "-c raise(SystemExit('no_weights_here'))")
LACKING = Figure("lacking", "Speed", "-c pass", packages=("no_such_module",))
WANTING = Figure("wanting", "Speed", "-c pass {recordings}")
LONG = Figure("long", "Speed", "-c pass", long=True)
EACH = (FIGURE, BROKEN, LACKING, WANTING, LONG)


@pytest.fixture
def made(monkeypatch, tmp_path):
    """Calls the program with some rows; what it wrote."""
    monkeypatch.setattr(run, "busy_share", lambda seconds: 0.0)

    def call(*flags: str, figures=EACH) -> list[dict]:
        monkeypatch.setattr(run, "FIGURES", figures)
        args = run.parser().parse_args(["--output", str(tmp_path), *flags])
        try:
            run.main(args)
        finally:
            rows = json.loads((tmp_path / "benchmark.json").read_text())
        return rows

    return call


def states(rows) -> dict[str, str]:
    return {row["name"]: row["state"] for row in rows}


def test_a_row_says_what_was_measured_and_where(made):
    (row,) = made(figures=(FIGURE,))
    assert row["figures"] == [
        {"measure": "token", "coqui": 2.0, "ours": 1.0, "range": {"coqui": [1, 3]}}
    ]
    assert {"processor", "date", "commit", "python", "versions"} <= set(row["taken"])
    assert {"command", "load_before", "others", "busy", "seconds", "quick"} <= set(row)


def test_a_row_that_fails_or_lacks_something_costs_no_other(made, tmp_path, capsys):
    with pytest.raises(MyXTTSError, match="broken failed"):
        made()
    rows = json.loads((tmp_path / "benchmark.json").read_text())
    wanted = {"good": "done", "broken": "failed", "lacking": "skipped", "wanting": "skipped"}
    assert states(rows) == wanted
    reasons = [row.get("reason", "") for row in rows]
    assert reasons[1] == "no_weights_here"
    assert "no_such_module not installed" in reasons[2]
    assert "--recordings not given" in reasons[3]
    table = (tmp_path / "benchmark.md").read_text()
    assert "| good | measure token; coqui 2.0 (1 to 3); ours 1.0 |" in table
    assert "failed: no_weights_here" in table
    assert capsys.readouterr().out.strip() == table.strip()


def test_rows_are_kept_and_made_again(made, monkeypatch):
    (first,) = made(figures=(FIGURE,))
    monkeypatch.setattr(run, "ran", None)
    assert made(figures=(FIGURE,)) == [first]
    # Another command is another figure.
    changed = Figure("good", "Speed", FIGURE.full, quick="-c pass")
    for flags, figures in ((("--again",), (FIGURE,)), (("--quick",), (changed,))):
        with pytest.raises(TypeError):
            made(*flags, figures=figures)


def test_a_row_that_failed_is_tried_again(made, tmp_path):
    for _ in range(2):
        with pytest.raises(MyXTTSError, match="broken failed"):
            made(figures=(BROKEN,))
    assert json.loads((tmp_path / "broken.json").read_text())["state"] == "failed"


def test_other_work_marks_a_row(made, monkeypatch, caplog):
    monkeypatch.setattr(run, "busy_share", lambda seconds: 0.5)
    (row,) = made(figures=(FIGURE,))
    assert row["busy"]
    assert "other work was on the machine" in caplog.text
    assert "%, **not to be trusted**" in run.table([row])


def test_other_work_is_seen():
    clocks = run.Clocks()
    end = clocks._start[0] + 0.5
    while run.time.perf_counter() < end:
        pass
    # This process' own work is not somebody else's.
    assert 0 <= clocks.others() <= 1
    assert run.busy_seconds() >= 0


def test_what_never_ends_is_ended():
    code, _, error = run.ran([sys.executable, "-c", "import time; time.sleep(60)"], 0.5)
    assert code == 1
    assert error == "was not done in 0.00833333 minutes"


def test_output_without_json_is_kept_as_it_is():
    assert run.figures_of("a\nb\n") == [{"output": "a\nb"}]
    assert run.figures_of('note\n[1]\n{"a": 1}\n') == [{"a": 1}]


def test_ranges_and_parts_stand_beside_their_figures():
    figures = {
        "int8": {"median": 2.5, "range": [2, 3], "cpu": 4},
        "ratio": {"int8": 2.0},
        "x": None,
    }
    assert list(run.words(figures)) == ["int8 2.5 (2 to 3)", "ratio int8 2.0"]


def test_a_row_that_does_not_exist(monkeypatch):
    with pytest.raises(ConfigError, match="--only nothing: there are before"):
        run.chosen(FIGURES, ["nothing"])
    assert [row.name for row in run.chosen(FIGURES, ["stream"])] == ["stream"]


def test_rows_are_of_programs_and_headings_that_exist():
    headings = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert len({figure.name for figure in FIGURES}) == len(FIGURES)
    for figure in FIGURES:
        for quick in (False, True):
            program = figure.command(quick)[0]
            assert program == "-m" or (ROOT / program).is_file()
            assert set(figure.materials(quick)) <= {*run.MATERIALS, "workdir"}
        if not figure.heading.startswith("docs/"):
            assert f"# {figure.heading}\n" in headings.replace("`", "")


def test_list_names_every_row():
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "--list", "--quick"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert [line.split(" ", 1)[0] for line in out.splitlines()] == [f.name for f in FIGURES]


def test_a_first_look_does_without_rows_that_others_stand_for(made):
    figure = Figure("dear", "Speed", FIGURE.full, "")
    assert states(made("--quick", figures=(FIGURE, figure))) == {"good": "done"}
    (row,) = made("--quick", "--only", "dear", figures=(figure,))
    assert row["state"] == "done"
