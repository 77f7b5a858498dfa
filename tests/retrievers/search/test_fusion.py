import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_bedrock.retrievers.search.fusion import fuse

SCORES = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(-5, 50), max_size=8)


def test_min_max_scales_each_side_and_adds_what_its_weight_allows():
    dense = {"a": 0.9, "b": 0.5, "c": 0.1}
    lexical = {"c": 12.0, "d": 4.0, "b": 2.0}
    assert fuse([dense, lexical], (0.5, 0.5)) == [
        ("a", pytest.approx(0.5)),
        ("c", pytest.approx(0.5)),
        ("b", pytest.approx(0.25)),
        ("d", pytest.approx(0.1)),
    ]
    assert [key for key, _ in fuse([dense, lexical], (0.2, 0.8))] == ["c", "a", "d", "b"]


def test_reciprocal_ranks_are_added():
    dense, lexical = {"a": 0.9, "b": 0.5}, {"b": 7.0, "c": 3.0}
    fused = dict(fuse([dense, lexical], (1, 1), "rrf"))
    assert fused == pytest.approx({"a": 1 / 61, "b": 1 / 62 + 1 / 61, "c": 1 / 62})


def test_a_side_of_weight_0_is_left_out():
    assert fuse([{"a": 1.0, "b": 0.5}, {"c": 1.0, "d": 0.5}], (1, 0)) == [("a", 1.0), ("b", 0.0)]


def test_a_single_candidate_counts_fully():
    assert fuse([{"a": 0.3}, {}], (0.5, 0.5)) == [("a", 0.5)]
    assert fuse([{"a": 0.0}, {}], (0.5, 0.5)) == [("a", 0.0)]


@given(SCORES, SCORES, st.sampled_from(["minmax", "rrf"]), st.randoms())
def test_the_order_of_candidates_does_not_matter(dense, lexical, method, random):
    def shuffled(scores):
        items = list(scores.items())
        random.shuffle(items)
        return dict(items)

    result = fuse([dense, lexical], (0.4, 0.6), method)
    assert fuse([shuffled(dense), shuffled(lexical)], (0.4, 0.6), method) == result
    assert [score for _, score in result] == sorted((score for _, score in result), reverse=True)
    assert all(0 <= score <= 1 + 1e-9 for _, score in result)


@pytest.mark.parametrize("weights", [(0, 0), (-1, 1), (1,)])
def test_weights_that_cannot_be_are_refused(weights):
    with pytest.raises(ValueError, match="weights must be"):
        fuse([{}, {}], weights)


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match='"minmax" or "rrf", got \'max\''):
        fuse([{}, {}], (1, 1), "max")
