"""Ids and ARNs → what is called, where, with which prompt format; and what is refused."""

import copy
import logging
import subprocess
import sys

import pytest

from llama_bedrock.catalog import CATALOG, PROMPT_FORMATS, resolve_model

A = "123456789012"
L33 = "meta.llama3-3-70b-instruct-v1:0"
SCOUT = "meta.llama4-scout-17b-instruct-v1:0"


@pytest.mark.parametrize("model_id", CATALOG)
def test_a_known_id_without_a_region_stays_as_it_is(model_id):
    resolved = resolve_model(model_id)
    assert (resolved.model_id, resolved.region) == (model_id, None)
    assert resolved.prompt_format == CATALOG[model_id].generation
    assert resolved.info is CATALOG[model_id]


@pytest.mark.parametrize(
    ("given", "region", "called"),
    [
        (L33, "us-east-2", L33),  # callable directly
        (L33, "us-east-1", f"us.{L33}"),
        (L33, "us-west-2", f"us.{L33}"),
        (SCOUT, "us-west-1", f"us.{SCOUT}"),
        ("meta.llama3-2-1b-instruct-v1:0", "eu-west-3", "eu.meta.llama3-2-1b-instruct-v1:0"),
        ("meta.llama3-2-1b-instruct-v1:0", "us-east-2", "us.meta.llama3-2-1b-instruct-v1:0"),
        ("meta.llama3-1-405b-instruct-v1:0", "us-east-2", "us.meta.llama3-1-405b-instruct-v1:0"),
        ("meta.llama3-8b-instruct-v1:0", "us-gov-west-1", "meta.llama3-8b-instruct-v1:0"),
        ("meta.llama2-13b-v1", "us-east-1", "meta.llama2-13b-v1"),  # no region is known to refuse or take it
        (f"us.{L33}", "us-east-2", f"us.{L33}"),  # a profile stays one, also where the bare id would do
        (
            f"arn:aws:bedrock:us-east-2::foundation-model/{L33}",
            None,
            f"arn:aws:bedrock:us-east-2::foundation-model/{L33}",
        ),
        (f"arn:aws:bedrock:us-east-1::foundation-model/{L33}", None, f"us.{L33}"),
    ],
)
def test_what_is_called_depends_on_the_region(given, region, called):
    resolved = resolve_model(given, region)
    assert resolved.model_id == called
    assert resolved.requested == given


@pytest.mark.parametrize(
    ("model_id", "region", "named"),
    [
        (L33, "eu-west-1", ["us-east-2", f"us.{L33}", "us-east-1", "us-west-2"]),
        (f"us.{L33}", "eu-west-1", ["us-east-1", "us-east-2", "us-west-2"]),
        ("meta.llama3-1-405b-instruct-v1:0", "us-east-1", ["us-west-2", "us-east-2"]),
        ("meta.llama3-8b-instruct-v1:0", "us-east-2", ["us-east-1", "eu-west-2", "us-gov-west-1"]),
        (f"arn:aws:bedrock:eu-west-1:{A}:inference-profile/us.{L33}", None, ["us-east-1", "us-west-2"]),
        (f"arn:aws:bedrock:ap-south-1::foundation-model/{SCOUT}", None, ["us-west-1"]),
        (L33, "US-EAST-1", ["us-east-1"]),
    ],
)
def test_a_region_that_does_not_work_is_refused_with_those_that_do(model_id, region, named):
    with pytest.raises(ValueError, match="cannot be called from") as caught:
        resolve_model(model_id, region)
    for region_or_profile in named:
        assert region_or_profile in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("meta.llama3-1-70b-instruct-v10", "meta.llama3-1-70b-instruct-v1:0"),
        ("meta.llama3-1-405b-instruct-v10", "meta.llama3-1-405b-instruct-v1:0"),
        ("meta.llama3-1-70b-instruct-v1", "meta.llama3-1-70b-instruct-v1:0"),
        ("META.LLAMA3-8B-INSTRUCT-V1:0", "meta.llama3-8b-instruct-v1:0"),
        (f" {L33}", L33),
        (f"{L33}\n", L33),
        (f"us.{L33[:-3]}10", f"us.{L33}"),
        ("meta.llama2-13b-chat-v1:0", "meta.llama2-13b-chat-v1"),
        ("meta.llama3.3-70b-instruct-v1:0", L33),
        ("meta-llama/Llama-3.3-70B-Instruct", L33),
        ("meta-llama/Llama-3.2-11B-Vision-Instruct", "meta.llama3-2-11b-instruct-v1:0"),
        ("Llama-4-Scout-17B-16E-Instruct", SCOUT),
        ("llama3.1:8b", "meta.llama3-1-8b-instruct-v1:0"),
        ("meta.llama3-2-90b-vision-instruct-v1:0", "meta.llama3-2-90b-instruct-v1:0"),
        ("arn:aws:bedrock:us-east-2::foundation-model/meta.llama3-3-70b-instruct-v10", L33),
    ],
)
def test_a_wrong_id_is_refused_with_the_nearest_known_one(wrong, nearest):
    with pytest.raises(ValueError, match="unknown Llama model id") as caught:
        resolve_model(wrong)
    assert str(caught.value).endswith(f"did you mean {nearest!r}?")


@pytest.mark.parametrize(
    "other", ["", "gpt-4o", "mistral.mixtral-8x7b-instruct-v0:1", "\N{LLAMA}", "x" * 100_000]
)
def test_what_is_no_llama_at_all_gets_no_suggestion(other):
    with pytest.raises(ValueError, match="llama-bedrock models"):
        resolve_model(other)


def test_the_ids_for_customisation_are_explained():
    with pytest.raises(ValueError, match="Provisioned Throughput and cannot be called") as caught:
        resolve_model("meta.llama3-1-8b-instruct-v1:0:128k")
    assert "'meta.llama3-1-8b-instruct-v1:0'" in str(caught.value)


@pytest.mark.parametrize(
    ("profile", "advice"),
    [
        (f"eu.{L33}", f"'us.{L33}'"),
        (f"apac.{L33}", f"'us.{L33}'"),
        ("us.meta.llama3-70b-instruct-v1:0", "has no profile; it can be called by its bare id in us-east-1"),
    ],
)
def test_a_profile_that_does_not_exist_is_refused_with_what_does(profile, advice):
    with pytest.raises(ValueError, match="has no inference profile") as caught:
        resolve_model(profile)
    assert advice in str(caught.value)


HIDING = [
    f"arn:aws:bedrock:us-west-2:{A}:application-inference-profile/abc123def456",
    f"arn:aws:bedrock:us-west-2:{A}:provisioned-model/abc123def456",
    f"arn:aws:bedrock:us-west-2:{A}:imported-model/abc123def456",
    f"arn:aws:bedrock:us-west-2:{A}:custom-model-deployment/abc123def456",
    f"arn:aws:bedrock:us-west-2:{A}:custom-model/imported/abc123def456",
    f"arn:aws:sagemaker:us-west-2:{A}:endpoint/llama-from-the-marketplace",
    f"arn:aws-us-gov:bedrock:us-gov-west-1:{A}:imported-model/abc123def456",
    f"arn:aws-cn:bedrock:cn-north-1:{A}:imported-model/abc123def456",
]


@pytest.mark.parametrize("arn", HIDING)
def test_an_arn_that_hides_the_family_needs_the_prompt_format(arn):
    with pytest.raises(ValueError, match="prompt_format") as caught:
        resolve_model(arn)
    for name in PROMPT_FORMATS:
        assert repr(name) in str(caught.value)
    resolved = resolve_model(arn, prompt_format="llama3.1")
    assert resolved.model_id == arn
    assert resolved.prompt_format == "llama3.1"
    assert resolved.region == arn.split(":")[3]
    assert resolved.info is None
    assert (resolved.max_input_tokens, resolved.max_output_tokens) == (128_000, 4_096)


@pytest.mark.parametrize(
    ("arn", "prompt_format"),
    [
        (f"arn:aws:bedrock:us-east-2::foundation-model/{L33}", "llama3.3"),
        (f"arn:aws:bedrock:us-east-1:{A}:inference-profile/us.{SCOUT}", "llama4"),
        ("arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/meta.llama3-8b-instruct-v1:0", "llama3"),
        (
            f"arn:aws:bedrock:us-west-2:{A}:custom-model/meta.llama3-1-8b-instruct-v1:0:128k/abc123def456",
            "llama3.1",
        ),
    ],
)
def test_an_arn_that_names_the_model_tells_the_prompt_format(arn, prompt_format):
    resolved = resolve_model(arn)
    assert (resolved.model_id, resolved.prompt_format) == (arn, prompt_format)


def test_a_customised_model_carries_no_price_of_its_base():
    arn = f"arn:aws:bedrock:us-west-2:{A}:custom-model/meta.llama3-1-8b-instruct-v1:0:128k/abc123def456"
    assert resolve_model(arn).info is None


def test_a_model_newer_than_the_catalogue_is_taken_by_arn_with_its_format():
    arn = "arn:aws:bedrock:us-west-2::foundation-model/meta.llama9-900b-instruct-v1:0"
    assert resolve_model(arn, prompt_format="llama4").model_id == arn
    with pytest.raises(ValueError, match="unknown Llama model id"):
        resolve_model(arn)


def test_the_region_of_an_arn_counts_and_a_different_one_is_refused_with_both():
    arn = f"arn:aws:bedrock:us-east-1:{A}:inference-profile/us.{L33}"
    assert resolve_model(arn, "us-east-1").region == "us-east-1"
    with pytest.raises(ValueError, match=r"in us-east-1.*set to us-west-2"):
        resolve_model(arn, "us-west-2")


@pytest.mark.parametrize(
    ("arn", "reason"),
    [
        (
            f"arn:aws:bedrock:us-east-1:{A}:default-prompt-router/meta.llama:1",
            "prompt router chooses between",
        ),
        (f"arn:aws:bedrock:us-east-1:{A}:prompt-router/abc", "prompt router chooses between"),
        (f"arn:aws:bedrock:us-east-1:{A}:prompt/ABCDEFGHIJ:1", "stored prompt"),
        (f"arn:aws:bedrock:us-east-1:{A}:guardrail/abc", "a bedrock guardrail, not a model"),
        (f"arn:aws:sagemaker:us-east-1:{A}:model/abc", "a sagemaker model, not a model"),
        (f"arn:aws:bedrock:us-east-1:{A}:endpoint/abc", "a bedrock endpoint, not a model"),
        ("arn:aws:s3:::bucket/key", "not the ARN of a Bedrock model"),
        ("arn:aws:bedrock:us-east-1:foundation-model/x", "not the ARN of a Bedrock model"),
        (f"arn:aws:bedrock:us-east-1:{A}:imported-model/abc def", "not the ARN of a Bedrock model"),
        (f"arn:aws:bedrock:us-east-1:{A}:foundation-model/{L33}", "no account id"),
        ("arn:aws:bedrock:us-east-1::imported-model/abc123def456", "12-digit account id"),
        (
            "arn:aws:bedrock:us-gov-west-1::foundation-model/meta.llama3-8b-instruct-v1:0",
            "partition aws-us-gov",
        ),
        ("arn:aws-us-gov:bedrock:us-east-1::foundation-model/meta.llama3-8b-instruct-v1:0", "partition aws,"),
        ("arn:", "not the ARN of a Bedrock model"),
    ],
)
def test_an_arn_that_no_prompt_can_be_sent_to_is_refused_with_the_reason(arn, reason):
    with pytest.raises(ValueError, match="arn:") as caught:
        resolve_model(arn, prompt_format="llama3.3")
    assert reason in str(caught.value)


def test_an_unknown_prompt_format_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'llama3\.3', 'llama4'"):
        resolve_model(HIDING[0], prompt_format="llama-3.3")


def test_a_prompt_format_that_contradicts_the_model_is_refused():
    with pytest.raises(ValueError, match=r"'llama3\.3', not 'llama4'"):
        resolve_model(L33, prompt_format="llama4")
    assert resolve_model(L33, prompt_format="llama3.3").model_id == L33


@pytest.mark.parametrize("nothing", [None, 3, b"meta.llama3-8b-instruct-v1:0"])
def test_what_is_no_text_is_a_type_error(nothing):
    with pytest.raises(TypeError, match="id or ARN"):
        resolve_model(nothing)


def test_abilities_follow_the_model_and_for_a_hidden_one_its_generation():
    assert resolve_model(SCOUT).accepts_images
    assert not resolve_model(L33).accepts_images
    assert resolve_model(L33).accepts_tools
    assert resolve_model("meta.llama3-8b-instruct-v1:0").accepts_tools
    assert not resolve_model("meta.llama2-70b-chat-v1").accepts_tools
    assert not resolve_model("meta.llama2-70b-v1").accepts_tools
    assert resolve_model("meta.llama2-70b-v1").base
    assert resolve_model(HIDING[2], prompt_format="llama3.2").accepts_images
    assert not resolve_model(HIDING[2], prompt_format="llama3.1").accepts_images
    assert resolve_model(SCOUT).max_input_tokens == 3_500_000  # measured; the card says ten million


def test_the_profile_that_stands_in_is_logged_once(caplog):
    given = "meta.llama3-2-90b-instruct-v1:0"
    with caplog.at_level(logging.INFO, logger="llama_bedrock.catalog"):
        for _ in range(3):
            resolve_model(given, "us-east-2")
    assert [record.getMessage() for record in caplog.records] == [
        f"{given} cannot be called directly in us-east-2: calling the profile us.{given}"
    ]


def test_a_resolved_model_survives_being_copied_and_compares_by_value():
    resolved = resolve_model(L33, "us-east-1")
    assert copy.deepcopy(resolved) == resolved == resolve_model(L33, "us-east-1")
    assert hash(resolved) == hash(resolve_model(L33, "us-east-1"))


def test_importing_the_catalogue_reads_no_file_and_no_aws_library():
    code = (
        "import sys, llama_bedrock.catalog as c, llama_bedrock.catalog.models_file as l;"
        "assert l.load_models.cache_info().currsize == 0;"
        "assert not {'boto3', 'botocore', 'langchain_core', 'aiohttp'} & set(sys.modules);"
        "assert len(c.CATALOG) == 16"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
