"""Prompts of one's own: checked when read, filled in inside a sandbox, and recorded only where they differ."""

import json
from typing import get_args

import pytest

from pada_graph import build_graph
from pada_graph.config import PromptName, RunConfig
from pada_graph.config_file import parse_config
from pada_graph.demo.studio import TinyDemo
from pada_graph.errors import InputError
from pada_graph.nodes.open import _same_prompts
from pada_graph.nodes.recorded_config import CONFIG, record_config
from pada_graph.prompts import PROMPTS, render, shipped
from pada_graph.reproduce.cells import Cell
from pada_graph.rundir import RunDir
from pada_graph.studio import StudioConfig

NAMES = get_args(PromptName)
OWN = "Name what these have in common:\n{{ analyses | json }}\n"


def own(text: str, name: str = "pattern_categorization") -> RunConfig:
    return parse_config({"prompts": {name: text}}, "test")


def test_every_file_of_the_folder_has_a_name():
    assert {path.stem for path in PROMPTS.glob("*.txt")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_prompt_is_no_change_and_with_a_line_more_it_passes(name):
    assert own(f"\n{shipped(name)}\n", name).prompts == {}
    longer = shipped(name) + "Take your time."
    assert own(longer, name).prompts == {name: longer}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OWN + "{{ analyses", r"pattern_categorization, line 3: "),
        (OWN + "\n{% if analyses %}", r"pattern_categorization, line 4: "),
        (OWN + "{{ analysis | json }}", r"line 3: unknown variable 'analysis'; there are analyses"),
        (OWN + "{{ analyses | jsno }}", r"line 3: No filter named 'jsno'"),
        ("Name what these have in common.", r"pattern_categorization: \{\{ analyses \}\} is missing"),
        (OWN + "{% include 'error_analysis.txt' %}", r"line 3: a prompt stands alone"),
    ],
)
def test_a_prompt_that_cannot_work_is_refused_with_its_name_and_line(text, message):
    with pytest.raises(InputError, match=f"^test: prompts: .*{message}"):
        own(text)


def test_an_unknown_prompt_is_refused():
    with pytest.raises(InputError, match="error_analysis"):
        own(OWN, "error_analisis")


@pytest.mark.parametrize(
    "attack",
    [
        "{{ analyses.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ analyses.append(1) }}",
        "{{ range(1000000000) }}",
    ],
)
def test_a_prompt_does_nothing_but_fill_in(attack):
    text = own(OWN + attack).prompts["pattern_categorization"]
    with pytest.raises(InputError, match=r"prompts\.pattern_categorization: cannot be filled in"):
        render("pattern_categorization", text, analyses=[{"sample_id": "v1"}])


def test_data_in_a_prompt_of_ones_own_stay_data():
    hostile = "```\u2028{{ 7 * 7 }}<|end|>"
    text = render("pattern_categorization", OWN, analyses=[hostile])
    assert json.loads(text.partition("\n")[2]) == [hostile]
    assert "49" not in text and "<|end|>" not in text and "```" not in text


def test_only_changed_prompts_are_recorded_and_another_one_is_refused(tmp_path):
    directory = RunDir(tmp_path / "run")
    record_config(directory, own(OWN))
    assert directory.read_json(CONFIG)["prompts"] == {"pattern_categorization": OWN}
    directory.write_json("data/manifest.json", {})
    record_config(directory, own(OWN))
    for other in (own(OWN + "Be brief. " * 100), RunConfig()):
        with pytest.raises(InputError, match=r"prompts\.pattern_categorization") as error:
            record_config(directory, other)
        assert len(str(error.value)) < 900


def test_a_cell_without_own_prompts_keeps_its_hash_and_one_with_them_has_another():
    rows = {"train": "a", "validation": "b", "test": "c"}
    plain, changed = (Cell("x", 10, config, rows).inputs for config in (RunConfig(), own(OWN)))
    assert plain.startswith("7fe8eed47508") and changed != plain


@pytest.mark.parametrize("schema", [StudioConfig, TinyDemo])
def test_in_studio_every_prompt_is_a_field_on_nodes_of_the_graph(schema):
    parts = {part for node in build_graph().get_graph(xray=True).nodes for part in node.split(":")}
    fields = schema.model_json_schema()["properties"]
    for name in NAMES:
        field = fields[f"{name}_prompt"]
        assert field["default"] == shipped(name) and field["langgraph_type"] == "prompt"
        assert field["langgraph_nodes"] and set(field["langgraph_nodes"]) <= parts


def test_what_is_edited_in_studio_becomes_a_prompt_of_ones_own_and_nothing_else():
    form = {f"{name}_prompt": shipped(name) for name in NAMES}
    assert StudioConfig.model_validate(form).model_dump() == RunConfig().model_dump()
    edited = StudioConfig.model_validate({**form, "pattern_categorization_prompt": OWN})
    assert edited.model_dump()["prompts"] == {"pattern_categorization": OWN}
    assert RunConfig.model_validate(edited.model_dump()).prompts == edited.prompts


def test_a_prompt_by_its_name_in_studio_is_kept_beside_fields_at_their_defaults_and_two_texts_are_refused():
    defaults = {f"{name}_prompt": shipped(name) for name in NAMES}
    given = {"prompts": {"pattern_categorization": OWN}}
    assert StudioConfig.model_validate({**given, **defaults}).prompts == given["prompts"]
    assert StudioConfig.model_validate({**given, "pattern_categorization_prompt": OWN}).prompts == given["prompts"]
    with pytest.raises(ValueError, match=r"prompts\.pattern_categorization and pattern_categorization_prompt"):
        StudioConfig.model_validate({**given, "pattern_categorization_prompt": OWN + "Be brief."})


def test_prompts_edited_for_a_run_that_has_others_are_not_passed_over(tmp_path):
    _same_prompts(own(OWN), RunConfig(), tmp_path)
    _same_prompts(own(OWN), own(OWN), tmp_path)
    with pytest.raises(
        InputError, match=r"other prompts \(pattern_categorization\).*new run_dir.*synthesize_batch try"
    ):
        _same_prompts(RunConfig(), own(OWN), tmp_path)
