import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_bedrock.retrievers import LSAEmbeddings
from llama_bedrock.text import terms

CORPUS = [
    "A llama is a domesticated animal of the Andes.",
    "Llamas carry loads in the mountains; their wool is soft.",
    "Aerodynamic heating of wings at supersonic speed.",
    "The boundary layer of a wing in supersonic flow.",
    "def get_user_name(user): return user.name",
    "Bread is baked from flour, water and yeast.",
]


def nearest(embeddings, query):
    vectors = np.array(embeddings.embed_documents(CORPUS))
    return int(np.argmax(vectors @ np.array(embeddings.embed_query(query))))


@pytest.fixture(scope="module")
def fitted():
    return LSAEmbeddings().fit(CORPUS)


@pytest.mark.parametrize(
    ("query", "expected"),
    [("mountain wool", 1), ("heated wings", 2), ("baking", 5), ("getUserName", 4), ("user name", 4)],
)
def test_the_nearest_text_is_the_one_that_shares_stems_and_parts_of_identifiers(fitted, query, expected):
    assert nearest(fitted, query) == expected


def test_vectors_have_unit_length_and_texts_without_a_known_word_the_zero_vector(fitted):
    norms = np.linalg.norm(fitted.embed_array([*CORPUS, "", "the of and", "zymurgy"]), axis=1)
    np.testing.assert_allclose(norms, [1] * len(CORPUS) + [0, 0, 0], atol=1e-6)
    assert not any(fitted.embed_query("unheard-of xylophones"))


def test_fitting_is_deterministic_and_the_model_id_names_the_fit(fitted):
    again = LSAEmbeddings().fit(iter(CORPUS))
    assert again.model_id == fitted.model_id
    assert again.embed_documents(CORPUS) == fitted.embed_documents(CORPUS)
    other = LSAEmbeddings().fit([*CORPUS, "one text more"])
    assert other.model_id != fitted.model_id
    assert fitted.model_id.startswith("lsa-256-")


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_dimensions_are_bounded_by_the_corpus(count):
    texts = [f"document number{n} about topic{n % 7} word{n * n}" for n in range(count)]
    embeddings = LSAEmbeddings(dimensions=16).fit(texts)
    array = embeddings.embed_array(texts)
    assert array.shape[0] == count
    assert 1 <= array.shape[1] <= min(16, count)
    assert array.dtype == np.float32
    assert np.isfinite(array).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=60), max_size=12), st.text(max_size=60))
def test_any_texts_can_be_fitted_and_embedded(texts, query):
    if not any(map(terms, texts)):
        with pytest.raises(ValueError, match="at least one text with a word"):
            LSAEmbeddings().fit(texts)
        return
    embeddings = LSAEmbeddings(dimensions=8).fit(texts)
    array = embeddings.embed_array([*texts, query])
    norms = np.linalg.norm(array, axis=1)
    assert np.isfinite(array).all()
    assert np.all((np.abs(norms - 1) < 1e-4) | (norms == 0))


def test_saving_and_loading_gives_the_same_vectors_without_pickle(fitted, tmp_path):
    fitted.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lsa.json", "lsa.npz"]
    loaded = LSAEmbeddings.load(tmp_path)
    assert loaded.model_id == fitted.model_id
    assert loaded.fitted_documents == len(CORPUS)
    assert loaded.embed_documents(CORPUS) == fitted.embed_documents(CORPUS)


def test_a_damaged_or_foreign_file_is_refused(fitted, tmp_path):
    fitted.save(tmp_path)
    data = bytearray((tmp_path / "lsa.npz").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "lsa.npz").write_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        LSAEmbeddings.load(tmp_path)
    (tmp_path / "lsa.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="damaged"):
        LSAEmbeddings.load(tmp_path)
    (tmp_path / "lsa.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(ValueError, match="another version"):
        LSAEmbeddings.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        LSAEmbeddings.load(tmp_path / "absent")


def test_an_array_of_objects_is_refused_because_it_would_be_unpickled(fitted, tmp_path):
    fitted.save(tmp_path)
    objects = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "lsa.npz", idf=objects, components=objects)
    with pytest.raises(ValueError, match="damaged"):
        LSAEmbeddings.load(tmp_path)


def test_embedding_before_fitting_says_what_to_do():
    with pytest.raises(ValueError, match=r"call fit\(texts\) first"):
        LSAEmbeddings().embed_query("x")
    with pytest.raises(ValueError, match="nothing to save"):
        LSAEmbeddings().save("anywhere")
    with pytest.raises(ValueError, match="must be positive, got 0"):
        LSAEmbeddings(dimensions=0)


async def test_async_gives_the_same_vectors(fitted):
    assert await fitted.aembed_query("wings") == fitted.embed_query("wings")
    assert await fitted.aembed_documents(CORPUS) == fitted.embed_documents(CORPUS)


def test_documents_added_later_are_projected_into_the_same_space(fitted):
    later = "Alpacas and llamas of the Andes."
    [vector] = fitted.embed_documents([later])
    scores = np.array(fitted.embed_documents(CORPUS)) @ np.array(vector)
    assert int(np.argmax(scores)) == 0
