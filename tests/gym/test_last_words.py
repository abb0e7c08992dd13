from pathlib import Path

from midwatch.gym.last_words import MAX_CHARACTERS, last_words


def test_the_reason_at_the_end_is_kept_and_the_rest_is_not(tmp_path: Path) -> None:
    log = tmp_path / "watch.log"
    frames = '  File "x.py", line 1\n' * 200
    log.write_text(f"Traceback (most recent call last):\n{frames}\nTypeError: no such option\n")
    assert last_words(log).endswith("TypeError: no such option") and len(last_words(log)) <= MAX_CHARACTERS


def test_nothing_said(tmp_path: Path) -> None:
    (tmp_path / "empty.log").write_text("\n")
    assert last_words(tmp_path / "empty.log") == last_words(tmp_path / "missing.log") == "no output"
