"""The filter language: its rules, its dict forms, and one meaning in Python, SQLite and Knowledge Bases."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document

from llama_bedrock.retrievers.filters import (
    And,
    Comparison,
    Filter,
    Not,
    Or,
    contains,
    eq,
    gt,
    gte,
    is_in,
    list_contains,
    lt,
    lte,
    ne,
    not_in,
    parse_filter,
    startswith,
    string_contains,
)
from llama_bedrock.retrievers.store.faiss_store import FAISSStore

pytestmark = pytest.mark.slow

CASES = [
    # filter, metadata, matches
    (eq("n", 1), {"n": 1}, True),
    (eq("n", 1), {"n": 1.0}, True),
    (eq("n", 1), {"n": True}, False),
    (eq("n", 1), {"n": "1"}, False),
    (eq("n", 1), {}, False),
    (eq("n", 1), {"n": [1]}, False),
    (eq("b", True), {"b": True}, True),
    (eq("b", True), {"b": 1}, False),
    (eq("n", None), {}, True),
    (eq("n", None), {"n": None}, True),
    (eq("n", None), {"n": 0}, False),
    (eq("n", None), {"n": []}, False),
    (eq("n", None), {"n": {}}, False),
    (ne("n", None), {"n": {"a": 1}}, True),
    (ne("n", 1), {}, True),
    (ne("n", 1), {"n": 2}, True),
    (ne("n", 1), {"n": 1}, False),
    (gt("n", 1), {"n": 1.5}, True),
    (gt("n", 1), {"n": 1}, False),
    (gt("n", 1), {"n": "2"}, False),
    (gt("n", 1), {"n": True}, False),
    (gt("s", "a"), {"s": "b"}, True),
    (gt("s", "Z"), {"s": "a"}, True),
    (gte("n", 1), {"n": 1}, True),
    (lt("n", 1), {"n": 0}, True),
    (lt("n", 1), {}, False),
    (lte("n", 1), {"n": 1}, True),
    (is_in("n", [1, "x"]), {"n": "x"}, True),
    (is_in("n", [1, "x"]), {"n": 2}, False),
    (is_in("n", [1, None]), {}, True),
    (is_in("n", []), {"n": 1}, False),
    (not_in("n", [1]), {}, True),
    (not_in("n", [1, None]), {}, False),
    (not_in("n", [1]), {"n": 1}, False),
    (not_in("n", []), {"n": 1}, True),
    (startswith("s", "ab"), {"s": "abc"}, True),
    (startswith("s", "ab"), {"s": "ab"}, True),
    (startswith("s", "ab"), {"s": "Abc"}, False),
    (startswith("s", ""), {"s": ""}, True),
    (startswith("s", "a\x00"), {"s": "a\x00b"}, True),
    (startswith("s", "a\x00"), {"s": "ab"}, False),
    (startswith("s", "%"), {"s": "x"}, False),
    (contains("s", "b"), {"s": "abc"}, True),
    (contains("s", ""), {"s": ""}, True),
    (contains("s", "b\x00"), {"s": "ab\x00c"}, True),
    (contains("s", "_"), {"s": "abc"}, False),
    (contains("s", "tag1"), {"s": ["tag1", "x"]}, True),
    (contains("s", "tag1"), {"s": ["tag10"]}, False),
    (contains("s", 1), {"s": [1.0]}, True),
    (contains("s", 1), {"s": [True]}, False),
    (contains("s", True), {"s": [True]}, True),
    (contains("s", 1), {"s": 1}, False),
    (list_contains("s", "a"), {"s": "a"}, False),
    (list_contains("s", "a"), {"s": ["a"]}, True),
    (string_contains("s", "at"), {"s": ["dog", "cat"]}, True),
    (string_contains("s", "at"), {"s": "cat"}, True),
    (string_contains("s", "at"), {"s": 1}, False),
    (~gt("n", 1), {}, True),
    (~gt("n", 1), {"n": 1}, True),
    (eq("a", 1) & eq("b", 2), {"a": 1, "b": 2}, True),
    (eq("a", 1) & eq("b", 2), {"a": 1}, False),
    (eq("a", 1) | eq("b", 2), {"b": 2}, True),
    (eq("a.b", 1), {"a": {"b": 1}}, False),
    (eq("a.b", 1), {"a.b": 1}, True),
    (eq("n", 2**70), {"n": 2**70}, True),
    (gt("n", 2**62), {"n": 2**62 + 1}, True),
    (gt("n", float(2**53)), {"n": 2**53 + 1}, True),
]


def ids_of_cases() -> list[str]:
    return [f"{case[0].to_dict()} on {case[1]}" for case in CASES]


@pytest.mark.parametrize(("filter_", "metadata", "expected"), CASES, ids=ids_of_cases())
def test_rules_of_the_language(filter_: Filter, metadata: dict[str, Any], expected: bool) -> None:
    assert filter_.matches(metadata) is expected


def test_sqlite_gives_every_rule_the_same_meaning() -> None:
    metadatas = [metadata for _, metadata, _ in CASES]
    store = store_of(metadatas)
    for filter_, _, _ in CASES:
        expected = {str(n) for n, metadata in enumerate(metadatas) if filter_.matches(metadata)}
        assert store.matching_ids(filter_) == expected, filter_.to_dict()


def store_of(metadatas: list[dict[str, Any]]) -> FAISSStore:
    store = FAISSStore()
    documents = [Document(page_content="x", id=str(n), metadata=m) for n, m in enumerate(metadatas)]
    if documents:
        store.add_documents(documents, vectors=[[1.0, float(n)] for n in range(len(documents))])
    return store


# Values that collide: equal numbers of two types, texts within texts, NUL, quotes, last code points.
texts = st.sampled_from(
    ["", "a", "ab", "b", "ba", "1", "%", "_", "'", '"', "a\x00b", "é", "\ud7ff", "\uffff", "\U0010ffff", "A"]
)
numbers = st.one_of(
    st.integers(-2, 3),
    st.sampled_from([0.0, -0.0, 0.1 + 0.2, 0.3, 1.5, 1e308, 2**53, 2**53 + 1, 2**63, 2**70]),
)
scalars = st.one_of(texts, numbers, st.booleans())
keys = st.sampled_from(["k", "l", 'q"uote', "a.b"])
fields = st.one_of(scalars, st.none(), st.lists(st.one_of(scalars, st.none()), max_size=3), st.just({"x": 1}))
metadatas_ = st.dictionaries(keys, fields, max_size=4)
comparisons = st.one_of(
    st.builds(Comparison, keys, st.sampled_from(["eq", "ne"]), st.one_of(scalars, st.none())),
    st.builds(
        Comparison,
        keys,
        st.sampled_from(["in", "nin"]),
        st.lists(st.one_of(scalars, st.none()), max_size=3).map(tuple),
    ),
    st.builds(Comparison, keys, st.sampled_from(["gt", "gte", "lt", "lte"]), st.one_of(texts, numbers)),
    st.builds(Comparison, keys, st.sampled_from(["startswith", "string_contains"]), texts),
    st.builds(Comparison, keys, st.sampled_from(["contains", "list_contains"]), scalars),
)
filters = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda operands: And(tuple(operands))),
        st.lists(inner, min_size=1, max_size=3).map(lambda operands: Or(tuple(operands))),
        inner.map(Not),
    ),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(metadatas_, max_size=6), st.lists(filters, min_size=1, max_size=4))
def test_sqlite_and_python_agree_on_any_filter_and_metadata(
    metadatas: list[dict[str, Any]], some_filters: list[Filter]
) -> None:
    store = store_of(metadatas)
    for filter_ in some_filters:
        expected = {str(n) for n, metadata in enumerate(metadatas) if filter_.matches(metadata)}
        assert store.matching_ids(filter_) == expected


@settings(max_examples=300, deadline=None)
@given(filters)
def test_a_filter_survives_its_dict_form(filter_: Filter) -> None:
    read = parse_filter(filter_.to_dict())
    assert read is not None
    for metadata in ({}, {"k": 1, "l": "a"}, {"k": "ab", "l": [1, "a"]}, {"k": True}):
        assert read.matches(metadata) == filter_.matches(metadata)


def knowledge_base_matches(wire: dict[str, Any], metadata: dict[str, Any]) -> bool:
    """The service's own documented meaning of a RetrievalFilter, written down without the code under test."""
    [(name, argument)] = wire.items()
    if name in ("andAll", "orAll"):
        assert len(argument) >= 2
        return (all if name == "andAll" else any)(knowledge_base_matches(part, metadata) for part in argument)
    key, value, found = argument["key"], argument["value"], metadata.get(argument["key"])

    def same(one: Any, other: Any) -> bool:
        return one == other and isinstance(one, bool) == isinstance(other, bool)

    number = isinstance(found, int | float) and not isinstance(found, bool)
    members = found if isinstance(found, list) else []
    return {
        "equals": lambda: same(found, value),
        "notEquals": lambda: key not in metadata or not same(found, value),
        "greaterThan": lambda: number and found > value,
        "greaterThanOrEquals": lambda: number and found >= value,
        "lessThan": lambda: number and found < value,
        "lessThanOrEquals": lambda: number and found <= value,
        "in": lambda: any(same(found, one) for one in value),
        "notIn": lambda: not any(same(found, one) for one in value),
        "startsWith": lambda: isinstance(found, str) and found.startswith(value),
        "listContains": lambda: any(same(member, value) for member in members),
        "stringContains": lambda: any(
            isinstance(text, str) and value in text
            for text in ([found] if isinstance(found, str) else members)
        ),
    }[name]()


@settings(max_examples=300, deadline=None)
@given(filters, metadatas_)
def test_a_knowledge_base_filter_means_the_same(filter_: Filter, metadata: dict[str, Any]) -> None:
    try:
        wire = filter_.to_knowledge_base()
    except ValueError:
        return
    if "stringContains" in str(wire) and any(isinstance(value, list) for value in metadata.values()):
        return  # the documented difference: "contains" on a list
    small = {
        key: value for key, value in metadata.items() if not isinstance(value, int) or abs(value) < 2**60
    }
    assert knowledge_base_matches(wire, small) == filter_.matches(small)


def test_knowledge_base_joints_of_one_collapse_and_not_is_pushed_down() -> None:
    wire = Not(Or((eq("a", 1), And((is_in("b", [1, 2]),)))))
    assert wire.to_knowledge_base() == {
        "andAll": [
            {"notEquals": {"key": "a", "value": 1}},
            {"notIn": {"key": "b", "value": [1, 2]}},
        ]
    }
    assert And((eq("a", 1),)).to_knowledge_base() == {"equals": {"key": "a", "value": 1}}
    assert (contains("a", "x")).to_knowledge_base() == {"stringContains": {"key": "a", "value": "x"}}
    assert (contains("a", 1)).to_knowledge_base() == {"listContains": {"key": "a", "value": 1}}


@pytest.mark.parametrize(
    ("filter_", "words"),
    [
        (~gt("n", 1), "negate"),
        (~startswith("s", "a"), "negate"),
        (eq("n", None), "missing value"),
        (gt("s", "a"), "numbers only"),
    ],
)
def test_what_a_knowledge_base_cannot_express_is_an_error(filter_: Filter, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        filter_.to_knowledge_base()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"a": 1}, eq("a", 1)),
        ({"a": None}, eq("a", None)),
        ({"a": 1, "b": "x"}, eq("a", 1) & eq("b", "x")),
        ({"a": [1, 2]}, is_in("a", [1, 2])),
        ({"a": {"$gte": 1, "$lt": 5}}, gte("a", 1) & lt("a", 5)),
        ({"a": {"$not": {"$eq": 1}}}, Not(eq("a", 1))),
        ({"$not": {"a": 1}}, Not(eq("a", 1))),
        ({"$nor": [{"a": 1}, {"b": 1}]}, Not(eq("a", 1) | eq("b", 1))),
        ({"$or": [{"a": 1}, {"a": {"$ne": 2}}]}, eq("a", 1) | ne("a", 2)),
        ({"$and": [{"a": 1}]}, eq("a", 1)),
        ({"a": {"$nin": {3}}}, not_in("a", [3])),
        ({"equals": {"key": "a", "value": 1}}, eq("a", 1)),
        ({"equals": 1}, eq("equals", 1)),
        (
            {"andAll": [{"equals": {"key": "a", "value": 1}}, {"greaterThan": {"key": "b", "value": 2}}]},
            eq("a", 1) & gt("b", 2),
        ),
        ({"stringContains": {"key": "a", "value": "x"}}, string_contains("a", "x")),
    ],
)
def test_dicts_that_users_write(written: dict[str, Any], meant: Filter) -> None:
    assert parse_filter(written) == meant


@pytest.mark.parametrize("nothing", [None, {}])
def test_no_filter(nothing: Any) -> None:
    assert parse_filter(nothing) is None


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"year": {"$gt": 1, "$lowerthan": 2}}, r"unknown filter operator '\$lowerthan' on 'year'"),
        ({"year": {"$gtee": 1}}, r"did you mean '\$gte'"),
        ({"$xor": []}, r"did you mean '\$.*or'"),
        ({"year": {}}, "empty"),
        ({"year": {"value": 3}}, "unknown filter operator 'value'"),
        ({"year": {"$in": 3}}, "needs a list"),
        ({"year": {"$in": "abc"}}, "needs a list"),
        ({"year": {"$eq": [1]}}, r"takes (one value|text)"),
        ({"year": {"$gt": None}}, "orders numbers and texts"),
        ({"year": {"$gt": True}}, "orders numbers and texts"),
        ({"year": float("nan")}, "cannot be compared"),
        ({"year": {"$startswith": 1}}, "takes a text"),
        ({"year": {"$contains": None}}, "got None"),
        ({"year": object()}, "takes text, number"),
        ({"$and": []}, "at least one"),
        ({"$and": {"a": 1}}, "list of at least one"),
        ({"$or": [{}]}, "empty filter"),
        ({1: 2}, "must be a text"),
        ({"": 2}, "non-empty"),
    ],
)
def test_malformed_filters_name_what_is_wrong(written: dict[Any, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_filter(written)


def test_other_objects_are_no_filters() -> None:
    with pytest.raises(TypeError, match="got str"):
        parse_filter("year = 1")  # type: ignore[arg-type]


def test_filters_are_equal_only_if_they_mean_the_same() -> None:
    assert eq("a", 1) != eq("a", True)
    assert eq("a", 1) == eq("a", 1.0)
    assert len({eq("a", 1), eq("a", True), eq("a", "1")}) == 3


def test_text_from_a_filter_never_becomes_sql() -> None:
    hostile = "x'); DROP TABLE documents; --"
    store = store_of([{"k": hostile, hostile: 1}, {"k": "y"}])
    assert store.matching_ids({"k": hostile}) == {"0"}
    assert store.matching_ids({hostile: 1}) == {"0"}
    assert store.matching_ids({"k": {"$startswith": "x')"}}) == {"0"}
    assert len(list(store.documents())) == 2


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(numbers, texts), max_size=12),
    st.lists(st.one_of(numbers, texts), min_size=2, max_size=5),
)
def test_ranges_are_the_same_as_their_two_ends(values: list[Any], ends: list[Any]) -> None:
    metadatas = [{"k": value} for value in values]
    store = store_of(metadatas)
    for low in ends:
        for high in ends:
            filter_ = And((gte("k", low), lt("k", high), ne("k", low), lte("k", high)))
            expected = {str(n) for n, metadata in enumerate(metadatas) if filter_.matches(metadata)}
            assert store.matching_ids(filter_) == expected


def nested(depth: int, name: str) -> Any:
    filter_: Any = {"a": 1}
    for _ in range(depth):
        filter_ = {name: filter_} if name == "$not" else {name: [filter_, {"b": 2}]}
    return filter_


@pytest.mark.parametrize("name", ["$and", "$or", "$nor", "$not", "andAll", "orAll"])
def test_a_filter_that_nests_without_end_is_refused_before_it_is_followed(name: str) -> None:
    assert parse_filter(nested(30, name)) is not None
    with pytest.raises(ValueError, match="levels"):
        parse_filter(nested(100_000, name))
    field: Any = 1
    for _ in range(10_000):
        field = {"$not": field}
    with pytest.raises(ValueError, match="levels"):
        parse_filter({"key": field})


def test_filters_that_code_nests_without_end_are_refused() -> None:
    filter_ = eq("a", 1)
    with pytest.raises(ValueError, match="levels"):  # noqa: PT012
        for _ in range(200):
            filter_ = ~(filter_ & eq("b", 2)) | eq("c", 3)


def test_a_filter_of_too_many_parts_is_refused_and_a_long_list_of_values_is_not() -> None:
    with pytest.raises(ValueError, match="parts"):
        parse_filter({"$or": [{"a": n} for n in range(200_000)]})
    assert parse_filter({"a": {"$in": list(range(200_000))}}) is not None


def test_an_error_names_a_large_value_in_a_few_words() -> None:
    for wrong in (
        {"a": {"$gte": ["x" * 10_000] * 10_000}},
        {"a": {"$" + "x" * 100_000: 1}},
        {"$and": "x" * 10**6},
    ):
        with pytest.raises(ValueError) as raised:
            parse_filter(wrong)
        assert len(str(raised.value)) < 1000
