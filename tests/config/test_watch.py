"""A changed file is noticed once, whatever way it was changed."""

import os
from pathlib import Path

from lb.config import FileSignature, load, restart_needed

ONE = {"BACKEND_1_URL": "https://a"}


def test_new_content_counts_once_when_it_has_settled(tmp_path: Path) -> None:
    file = tmp_path / "lb.yaml"
    file.write_text("workers: 1")
    watched = FileSignature(str(file))
    assert not watched.changed()
    file.write_text("workers: 2")
    assert not watched.changed()
    assert watched.changed()
    assert not watched.changed()


def test_a_file_that_is_still_being_written_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "lb.yaml"
    file.write_text("a")
    watched = FileSignature(str(file))
    for content in ("b", "bc", "bcd"):
        file.write_text(content)
        assert not watched.changed()
    assert watched.changed()


def test_new_dates_alone_are_no_change(tmp_path: Path) -> None:
    file = tmp_path / "lb.yaml"
    file.write_text("a")
    watched = FileSignature(str(file))
    os.utime(file, (1, 1))
    assert [watched.changed(), watched.changed()] == [False, False]


def test_the_same_size_and_date_do_not_hide_a_change(tmp_path: Path) -> None:
    file = tmp_path / "lb.yaml"
    file.write_text("a")
    os.utime(file, (1, 1))
    watched = FileSignature(str(file))
    file.write_text("b")
    os.utime(file, (1, 1))
    assert [watched.changed(), watched.changed()] == [False, True]


def test_a_configmaps_swapped_link_is_a_change(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "lb.yaml").write_text(version)
    current = tmp_path / "..data"
    current.symlink_to("v1")
    (tmp_path / "lb.yaml").symlink_to("..data/lb.yaml")
    watched = FileSignature(str(tmp_path / "lb.yaml"))
    (tmp_path / "next").symlink_to("v2")
    (tmp_path / "next").replace(current)
    assert [watched.changed(), watched.changed(), watched.changed()] == [False, True, False]


def test_a_file_that_is_gone_for_a_moment_is_no_change(tmp_path: Path) -> None:
    file = tmp_path / "lb.yaml"
    file.write_text("a")
    watched = FileSignature(str(file))
    file.unlink()
    assert [watched.changed(), watched.changed()] == [False, False]
    file.write_text("a")
    assert [watched.changed(), watched.changed()] == [False, False]
    file.write_text("b")
    assert [watched.changed(), watched.changed()] == [False, True]


def test_a_file_that_changes_back_is_no_change(tmp_path: Path) -> None:
    file = tmp_path / "lb.yaml"
    file.write_text("a")
    watched = FileSignature(str(file))
    file.write_text("b")
    assert not watched.changed()
    file.write_text("a")
    assert [watched.changed(), watched.changed()] == [False, False]


def test_what_is_bound_or_forked_needs_a_restart() -> None:
    old, new = load(ONE), load({**ONE, "LB_PORT": "9", "LB_WORKERS": "2", "LB_POLICY": "random"})
    assert restart_needed(old, new) == [
        "listen.port (LB_PORT) changed: it takes effect after a restart",
        "workers (LB_WORKERS) changed: it takes effect after a restart",
    ]
    assert restart_needed(old, old) == []
