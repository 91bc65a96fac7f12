"""The configuration in a run directory: no secret in it, and a resumed run asks what the first session asked."""

import pytest

from pada_graph.config import Model, Quality, RunConfig
from pada_graph.config_file import parse_config
from pada_graph.errors import InputError
from pada_graph.nodes.open import _with_keys
from pada_graph.nodes.recorded_config import CONFIG, record_config
from pada_graph.rundir import RunDir
from pada_graph.services import Reply
from pada_graph.teacher.journal import Call, Journal
from pada_graph.teacher.journaled import call_key
from pada_graph.teacher.secrets import redact, without_secrets

NESTED = {
    "model": "openai:m",
    "api_key": "sk-mine-0123456",
    "base_url": "https://me:hunter22@gate.example/v1?api_key=query-0123&version=2",
    "extra_body": {"stop_token_ids": [1, 2], "api_key": "body-0123", "list": [{"auth_token": "list-0123"}]},
}
SECRETS = ("sk-mine-0123456", "hunter22", "query-0123", "body-0123", "list-0123")


def with_judge(**settings: object) -> RunConfig:
    return parse_config({"models": {"judge": {**NESTED, **settings}}}, "test")


@pytest.fixture
def directory(tmp_path):
    directory = RunDir(tmp_path / "run")
    record_config(directory, with_judge())
    directory.write_json("data/manifest.json", {})
    return directory


def test_a_resumed_run_has_every_secret_back_and_asks_the_same_questions(directory):
    stored, given = parse_config(directory.read_json(CONFIG), CONFIG), with_judge(api_key="sk-other-0123456")
    resumed = _with_keys(stored, given).models.judge
    assert resumed == given.models.judge
    judges = (stored.models.judge, resumed, with_judge().models.judge)
    assert len({call_key("judge", judge, "?", "item", 0) for judge in judges}) == 1


def test_a_model_that_was_changed_meanwhile_keeps_what_was_recorded(directory):
    stored = parse_config(directory.read_json(CONFIG), CONFIG)
    resumed = _with_keys(stored, with_judge(temperature=1.0)).models.judge
    assert (resumed.temperature, resumed.model_extra["api_key"]) == (0, "sk-mine-0123456")


def test_what_is_written_down_holds_settings_and_no_secret(directory):
    text = directory.path(CONFIG).read_text()
    assert not [secret for secret in SECRETS if secret in text]
    judge = directory.read_json(CONFIG)["models"]["judge"]
    assert judge["extra_body"] == {"stop_token_ids": [1, 2], "list": [{}]}
    assert judge["base_url"] == "https://gate.example/v1?api_key=&version=2"


def test_a_refusal_names_both_values_of_each_key_and_no_secret(directory):
    journal = Journal(directory.path("teacher_calls.sqlite"))
    journal.start(Call("key", "judge", "openai:m", "item", 0, "prompt"))
    journal.finish("key", Reply("text", "stop", 1, 1))
    journal.close()
    changed = with_judge(temperature=0.5, extra_body={"api_key": "body-4567", "seed": 1}, api_key="sk-new-0123456")
    with pytest.raises(InputError) as error:
        record_config(directory, changed)
    said = str(error.value)
    assert "models.judge.temperature: 0.0 is recorded, 0.5 is given" in said
    assert "models.judge.extra_body.seed: null is recorded, 1 is given" in said
    assert not [secret for secret in (*SECRETS, "body-4567", "sk-new-0123456") if secret in said]


def test_settings_of_tokens_are_no_secrets_and_shape_the_key():
    plain = {"eos_token_id": 3, "stop_token_ids": [1], "max_tokens": 5}
    assert without_secrets({**plain, "hf_token": "x"}) == plain
    assert len({call_key("judge", Model(model="m", stop_token_ids=ids), "?", "i", 0) for ids in ([1], [2])}) == 2


@pytest.mark.parametrize("name", ["key", "api_key", "apikey", "access_token", "X-Goog-Api-Key"])
def test_secret_query_parameters_are_blotted_out_of_messages(name):
    said = redact(f"404 for url 'https://gate.example/v1?a=1&{name}=abc-0123&b=2'", {})
    assert "abc-0123" not in said and "?a=1&" in said and "&b=2'" in said


def test_a_run_that_an_older_version_began_goes_on_and_a_real_change_is_still_refused(directory):
    older = directory.read_json(CONFIG)
    del older["quality"]["verify_answers"], older["limits"]["prices"], older["patterns"]["min_clusters"]
    directory.write_json(CONFIG, older)
    record_config(directory, with_judge())
    with pytest.raises(InputError, match=r"\(quality\.verify_answers: false is recorded, true is given\)"):
        record_config(directory, with_judge().model_copy(update={"quality": Quality(verify_answers=True)}))
