import gc

import pytest

from llama_bedrock.retrievers import FAISSStore, index_folder
from llama_bedrock.retrievers.rare_collections import rare_collections


@pytest.fixture
def usual():
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def test_thresholds_are_raised_for_the_last_of_several_users(usual):
    first, second = rare_collections(), rare_collections()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.get_threshold() == (20_000, 10, 10)
    second.__exit__(None, None, None)
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("own", [(0, 10, 10), (50_000, 20, 100)])
def test_thresholds_of_the_callers_own_stay(usual, own):
    gc.set_threshold(*own)
    with rare_collections():
        assert gc.get_threshold() == own
    assert gc.get_threshold() == own


def test_a_threshold_that_is_set_meanwhile_stays(usual):
    with rare_collections():
        gc.set_threshold(900, 10, 10)
    assert gc.get_threshold() == (900, 10, 10)


def test_an_index_run_raises_them_and_puts_them_back_when_it_fails_too(usual, tmp_path):
    (tmp_path / "a.md").write_text("The pump hums.")
    seen = []

    def stop(*_):
        seen.append(gc.get_threshold())
        raise KeyError

    with pytest.raises(KeyError):
        index_folder(tmp_path, FAISSStore(), on_progress=stop)
    assert seen == [(20_000, 10, 10)]
    assert gc.get_threshold() == (700, 10, 10)
