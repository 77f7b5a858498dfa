"""models.toml against the facts it was written from, and its own consistency."""

import json
import re
from datetime import date

import pytest

from llama_bedrock.catalog import CATALOG, PROMPT_FORMATS, ModelInfo, Parameter, Price
from llama_bedrock.catalog.markdown import models_page

FORMATS = {
    "llama2_chat": "llama2",
    "completion": "llama2",
    "llama3_1": "llama3.1",
    "llama3_2_text": "llama3.2",
    "llama3_2_vision": "llama3.2",
    "llama3_3": "llama3.3",
}


@pytest.fixture(scope="module")
def facts(request):
    """The collected facts, by model id."""
    shared = request.getfixturevalue("shared_data").parent
    path = shared / "facts" / "models.json"
    if not path.is_file():
        pytest.skip("no ../shared/facts beside this checkout")
    return {row["model_id"]: row for row in json.loads(path.read_text())["models"]}


def test_the_catalogue_holds_exactly_the_known_models(facts):
    assert list(CATALOG) == list(facts)


@pytest.mark.parametrize("model_id", CATALOG)
def test_every_fact_about_identity_limits_and_abilities_is_kept(model_id, facts):
    info, row = CATALOG[model_id], facts[model_id]
    assert info.generation == FORMATS.get(row["prompt_format"], row["prompt_format"])
    assert (info.name, info.variant, info.size) == (row["name"], row["variant"], row["size"])
    assert info.context_window == row["context_window"]
    assert info.enforced_context_window == row.get("context_window_measured")
    assert info.max_output_tokens == row["max_output_recommended_default_cap"]
    assert info.card_max_output_tokens == row["max_output_model_card"]
    assert info.observed_max_output_tokens == row["max_output_observed"]
    assert [m.upper() for m in info.input_modalities] == row["input_modalities"]
    assert [m.upper() for m in info.output_modalities] == row["output_modalities"]
    assert list(info.languages) == row["languages"]
    assert info.max_images == (row.get("image_limits") or {}).get("per_request")
    for name in ("converse", "guardrails", "count_tokens", "structured_outputs", "prompt_caching"):
        assert getattr(info, name) == row[name], name
    assert info.prompt_routing == row["intelligent_prompt_routing"]
    assert (info.converse_tools, list(info.converse_tool_choice)) == (
        row["tools_converse"],
        row["tool_choice"],
    )
    assert info.converse_stream_tools == row["streaming_tools_converse"]
    assert list(info.service_tiers) == row["service_tiers"]
    assert list(info.endpoints) == row["endpoints"]
    for name, limits in info.parameters.items():
        assert [limits.minimum, limits.maximum] == row["invoke_ranges"][name]
        assert limits.default == row["invoke_defaults"][name]


@pytest.mark.parametrize("model_id", CATALOG)
def test_every_fact_about_places_prices_and_lifecycle_is_kept(model_id, facts):
    info, row = CATALOG[model_id], facts[model_id]
    assert list(info.direct_regions) == row["direct_regions"]
    assert {geo: {r: list(d) for r, d in by.items()} for geo, by in info.profiles.items()} == {
        geo: profile["sources"] for geo, profile in row["inference_profiles"].items()
    }
    latency = row["latency_optimized"] or {}
    assert list(info.latency_regions) == latency.get("regions", [])
    assert info.latency_max_tokens == latency.get("max_total_tokens")
    assert list(info.batch_regions) == row["batch"]["single_region"]
    assert list(info.batch_profile_regions) == row["batch"]["cross_region"]
    assert info.provisioned_id == row["provisioned_throughput_id"]
    assert list(info.provisioned_regions) == row.get("provisioned_throughput_regions", [])
    assert info.fine_tuning_id == row["fine_tuning_base_id"]
    assert list(info.fine_tuning_regions) == row.get("fine_tuning_regions", [])
    assert info.fine_tuning_format == row.get("fine_tuning_data_format")
    assert list(info.deployment_regions) == row.get("custom_model_on_demand_deployment", [])
    assert list(info.distillation_teachers) == row["distillation"].get("student_of", [])
    assert list(info.distillation_students) == row["distillation"].get("teacher_for", [])
    assert info.lifecycle == {"EOL": "ended", "LEGACY": "legacy"}[row["lifecycle"]]
    assert str(info.end_of_life) == str(row["eol_date"])
    assert str(info.legacy_since) == str(row["legacy_since"])[:10]
    assert str(info.released) == str(row["launch_date"])[:10]
    assert [s.split()[0] for s in info.sources] == [s.split()[0] for s in row["sources"]]


@pytest.mark.parametrize("model_id", CATALOG)
def test_every_price_is_kept(model_id, facts):
    info, row = CATALOG[model_id], facts[model_id]
    expected = {}
    if price := row["price_usd_per_1m"]:
        expected = dict.fromkeys(price["region"].split("/"), Price(price["input"], price["output"]))
        expected |= {r: Price(**other) for r, other in price.get("other_regions", {}).items()}
    assert info.prices == expected
    batch = row["batch_price_usd_per_1m"]
    expected = {price["region"]: Price(batch["input"], batch["output"])} if batch else {}
    assert info.batch_prices == expected


@pytest.mark.parametrize("info", CATALOG.values(), ids=CATALOG)
def test_every_model_has_its_sources_a_date_and_known_values(info):
    assert info.sources
    assert all(re.match(r"https://|pypi:", source) for source in info.sources)
    assert isinstance(info.as_of, date)
    assert info.generation in PROMPT_FORMATS
    assert set(info.confidence.values()) <= {"high", "medium", "low"}
    assert info.move_to is None or CATALOG[info.move_to].lifecycle != "ended"
    assert all(source in destinations for by in info.profiles.values() for source, destinations in by.items())
    for name in ("temperature", "top_p", "max_gen_len"):
        limits = info.parameters[name]
        assert isinstance(limits, Parameter)
        assert limits.minimum <= limits.default <= limits.maximum


def test_a_model_cannot_be_changed():
    info = CATALOG["meta.llama3-3-70b-instruct-v1:0"]
    with pytest.raises(AttributeError):
        info.context_window = 1
    assert isinstance(info, ModelInfo)
    assert not hasattr(info, "__dict__")


def test_an_end_of_life_date_that_has_come_counts_more_than_the_recorded_state():
    info = CATALOG["meta.llama3-3-70b-instruct-v1:0"]
    assert info.lifecycle_on(date(2027, 3, 29)) == "legacy"
    assert info.lifecycle_on(date(2027, 3, 30)) == "ended"


def test_prices_are_found_by_region_then_geography_and_never_guessed():
    small = CATALOG["meta.llama3-2-1b-instruct-v1:0"]
    assert small.price_in("us-west-2") == small.price_in(None) == Price(0.1, 0.1)
    assert small.price_in("eu-west-3") == Price(0.13, 0.13)
    assert small.price_in("eu-west-3", batch=True) is None
    third = CATALOG["meta.llama3-70b-instruct-v1:0"]
    assert third.price_in("ap-south-1") == Price(3.18, 4.2)
    assert third.price_in("us-gov-west-1") == Price(2.65, 3.5)
    assert third.price_in("us-gov-east-1") is None
    assert third.price_in("eu-central-1") is None


def test_the_models_page_is_up_to_date(request):
    page = request.config.rootpath / "docs" / "models.md"
    assert page.read_text(encoding="utf-8") == models_page(), (
        "write it again: python -m llama_bedrock.catalog.markdown > docs/models.md"
    )
