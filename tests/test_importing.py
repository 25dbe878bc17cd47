"""Laws of large imports and of what is imported when: on them hangs how long a start takes."""

import gc
import os
import subprocess
import sys

import pytest

from labkit.importing import quick_imports


def in_a_process_of_its_own(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, timeout=120, check=True
    ).stdout.strip()


@pytest.mark.parametrize("was_on", [True, False])
def test_the_collector_is_still_while_the_block_runs_and_then_as_it_was(was_on: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if was_on else gc.disable)()
        with quick_imports():
            with pytest.raises(RuntimeError), quick_imports():
                raise RuntimeError
            assert not gc.isenabled()
        assert gc.isenabled() == was_on
    finally:
        (gc.enable if before else gc.disable)()


def test_what_no_large_import_made_stays_in_the_collectors_sight() -> None:
    frozen = gc.get_freeze_count()
    with quick_imports():
        pass
    assert gc.get_freeze_count() == frozen


def test_what_a_large_import_made_is_out_of_the_collectors_sight() -> None:
    code = "import gc; from labkit.importing import quick_imports\nwith quick_imports():\n    import torch\n"
    assert in_a_process_of_its_own(code + "print(gc.get_freeze_count() > 100_000, gc.isenabled())") == "True True"


def imported(code: str) -> set[str]:
    """Which of the slow packages the code imports, in a process of its own."""
    found = (
        "print(*[name for name in ('torch', 'transformers', 'matplotlib', 'pandas', 'scipy') if name in sys.modules])"
    )
    return set(in_a_process_of_its_own(f"import sys\n{code}\n{found}").split())


def test_the_first_cell_of_a_lesson_that_names_no_torch_imports_none() -> None:
    names = "expect_error, figure, live_training, outcome, predict, reflection, show_source"
    code = (
        f"from labkit.checks import check\nfrom labkit.lessons import open_lesson\nfrom labkit.widgets import {names}\n"
    )
    assert imported(code + "lesson = open_lesson('tiny')\nrepr(lesson)") == set()


def test_a_berts_tokenizer_and_its_tokens_come_without_torch() -> None:
    code = "from labkit.lessons import open_lesson\nopen_lesson('tiny').tokenizer(['a film'])"
    assert imported(code) == {"transformers"}


def test_the_reviews_come_without_pandas(users_cache: object) -> None:
    code = "from labkit.data.reviews import movie_reviews\nfrom labkit.data.splits import split_reviews\n"
    assert imported(code + "split_reviews(movie_reviews())") == set()
