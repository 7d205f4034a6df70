"""Files that people write are read with their positions, and what is wrong in them is told by line and column."""

import pytest

from etlplus.cli.documents import read_document
from etlplus.errors import Invalid, Problem


def written(folder, name: str, text: str):
    file = folder / name
    file.write_text(text)
    return file


def problem_of(act) -> Problem:
    with pytest.raises(Invalid) as caught:
        act()
    (problem,) = caught.value.problems
    return problem


def test_a_pipeline_becomes_a_job_of_its_own_name(tmp_path):
    """A bare pipeline is a job made of defaults; its relative paths start at its folder."""
    draft = read_document(written(tmp_path, "x.yaml", "name: people\nsources: {}\n")).draft()
    assert (draft.name, draft.pipeline, draft.base_dir) == (
        "people",
        {"name": "people", "sources": {}},
        str(tmp_path.resolve()),
    )


def test_a_job_says_more_than_its_pipeline(tmp_path):
    """A document with a pipeline in it is a whole job."""
    draft = read_document(written(tmp_path, "x.yaml", "name: nightly\npriority: 3\npipeline: {name: p}\n")).draft()
    assert (draft.name, draft.priority, draft.pipeline) == ("nightly", 3, {"name": "p"})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.yaml", "name: people\nsources:\n  a: {type: csv}\n"),
        ("x.json", '{"name": "people", "sources": {"a": {"type": "csv"}}}'),
        ("x.toml", 'name = "people"\n[sources.a]\ntype = "csv"\n'),
    ],
)
def test_three_languages_say_the_same(tmp_path, name, text):
    """YAML, JSON and TOML hold the same data."""
    document = read_document(written(tmp_path, name, text))
    assert document.content == {"name": "people", "sources": {"a": {"type": "csv"}}}


def test_a_wrong_key_of_a_job_is_placed(tmp_path):
    """The key that a job does not know is named with its line and column."""
    document = read_document(written(tmp_path, "x.yaml", "name: n\npipeline: {}\nretry:\n  atempts_max: 3\n"))
    problem = problem_of(document.draft)
    assert "atempts_max" in problem.message
    assert (problem.line, problem.column, problem.suggestion) == (4, 3, "did you mean 'attempts_max'?")


@pytest.mark.parametrize(("text", "pointer"), [("name: n\nsteps:\n- id: a\n", "/pipeline/steps/0/id"), ("a: 1", "")])
def test_what_others_find_by_pointer_is_told_by_line(tmp_path, text, pointer):
    """A problem found by the service, which never saw the file, is placed in the file the person has open."""
    document = read_document(written(tmp_path, "x.yaml", text))

    def refuse():
        with document.placing():
            raise Invalid("no", [Problem("wrong", pointer)])

    problem = problem_of(refuse)
    assert problem.file == str(document.file)
    assert (problem.line, problem.column) == ((3, 3) if pointer else (1, 1))


def test_a_problem_that_has_a_place_keeps_it(tmp_path):
    """Who found the place first knew best."""
    document = read_document(written(tmp_path, "x.yaml", "a: 1"))

    def refuse():
        with document.placing():
            raise Invalid("no", [Problem("wrong", "/a", file="other.yaml", line=7, column=1)])

    assert problem_of(refuse).file == "other.yaml"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.yaml", b"a: [1,\nb: 2", "x.yaml:2:"),
        ("x.toml", b"a = \n", "x.toml:1:5: is not TOML"),
        ("x.yaml", b"\xff\xfe\xff", "is not UTF-8"),
        ("x.yaml", b"- 1\n", "holds no mapping"),
        ("x.yaml", b"", "holds no mapping"),
    ],
)
def test_a_file_that_is_no_document_is_refused(tmp_path, name, content, said):
    """What cannot be read is named with its file, and with its place where there is one."""
    file = tmp_path / name
    file.write_bytes(content)
    assert said in str(problem_of(lambda: read_document(file)))


def test_a_missing_file_is_told(tmp_path):
    """A wrong path is an answer in a sentence."""
    assert "No such file" in problem_of(lambda: read_document(tmp_path / "none.yaml")).message


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("x.yaml", "name: a\npriority: 1\nname: b\n", (3, 1)),
        ("x.json", '{"name": "a", "retry": {"attempts_max": 1,\n "attempts_max": 2}}', (2, 2)),
        ("x.toml", 'name = "a"\nname = "b"\n', (2, None)),
    ],
)
def test_a_key_that_is_given_twice_is_refused(tmp_path, name, text, place):
    """Nobody can know which was meant; the second is named with its line and column."""
    with pytest.raises(Invalid) as refused:
        read_document(written(tmp_path, name, text))
    (problem,) = refused.value.problems
    assert (problem.line, problem.column if place[1] else None) == place


def test_several_mappings_may_be_taken_over(tmp_path):
    """YAML's own way to share keys is no key that stands twice."""
    text = "a: &a {x: 1}\nb: &b {y: 2}\nc:\n  <<: *a\n  z: 3\n"
    assert read_document(written(tmp_path, "x.yaml", text)).content["c"] == {"x": 1, "z": 3}


@pytest.mark.parametrize("name", ["x.yaml", "x.json", "x.toml"])
def test_a_number_of_thousands_of_digits_is_told_with_its_place(tmp_path, name):
    """It is no whole number that anybody could mean, and nothing to fall over."""
    text = {
        "x.yaml": "name: n\nretry:\n  base_s: {}\n",
        "x.json": '{{"name": "n",\n "retry":\n  {{"a": {}}}}}',
        "x.toml": "a = 1\n\nb = {}\n",
    }
    problem = problem_of(lambda: read_document(written(tmp_path, name, text[name].format("9" * 5000))))
    assert problem.message == "this is no whole number that can be read"
    assert problem.line == 3


def test_a_value_that_is_none_of_its_kind_is_told_with_its_place(tmp_path):
    """YAML may say what a value is meant to be."""
    problem = problem_of(lambda: read_document(written(tmp_path, "x.yaml", "name: n\na: !!float much\n")))
    assert (problem.message, problem.line, problem.column) == ("this is no float", 2, 4)


def test_days_of_toml_are_texts(tmp_path):
    """As they are in JSON, which has no days."""
    document = read_document(written(tmp_path, "x.toml", "name = 'n'\n[params]\nday = 2026-03-28\n"))
    assert document.content["params"] == {"day": "2026-03-28"}


def test_a_job_that_does_nothing_is_told_as_a_job(tmp_path) -> None:
    """Its fields are not those of a pipeline; what it lacks is what it does."""
    file = tmp_path / "idle.yaml"
    file.write_text("name: idle\npriority: 3\ncommnd: {argv: [x]}\n")
    problem = problem_of(read_document(file).draft)
    assert (problem.line, problem.suggestion) == (3, "did you mean 'command'?")
