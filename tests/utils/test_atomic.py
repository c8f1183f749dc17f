"""Files and folders that appear when they are complete."""

import pytest

from metatrain_dos.utils.atomic import atomic_file, atomic_folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


class TestFile:
    def test_appears_at_the_end(self, tmp_path):
        with atomic_file(tmp_path / "a.csv") as made:
            made.write_text("new")
            assert not (tmp_path / "a.csv").exists()
        assert names(tmp_path) == ["a.csv"]

    def test_error_leaves_the_old_one(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_text("old")
        with pytest.raises(KeyError), atomic_file(path, force=True) as made:
            made.write_text("new")
            raise KeyError
        assert path.read_text() == "old"
        assert names(tmp_path) == ["a.csv"]

    @pytest.mark.parametrize(
        ("name", "force", "message"),
        [
            ("there", False, "already exists"),
            ("link", False, "already exists"),  # to nothing
            ("folder", True, "already exists"),
            ("missing/a.csv", False, "expected an existing folder, got .*missing"),
        ],
    )
    def test_refuses(self, tmp_path, name, force, message):
        (tmp_path / "there").touch()
        (tmp_path / "link").symlink_to("nothing")
        (tmp_path / "folder").mkdir()
        made = atomic_file(tmp_path / name, force=force)
        with pytest.raises(ValueError, match=message), made:
            pass


class TestFolder:
    @pytest.mark.parametrize("resume", [False, True])
    def test_appears_at_the_end(self, tmp_path, resume):
        (tmp_path / "dos").mkdir()  # an empty folder is no obstacle
        with atomic_folder(tmp_path / "dos", resume=resume) as made:
            (made / "a").touch()
            assert not any((tmp_path / "dos").iterdir())
        assert names(tmp_path) == ["dos"]
        assert names(tmp_path / "dos") == ["a"]

    @pytest.mark.parametrize("resume", [False, True])
    def test_an_error_keeps_what_the_next_run_needs(self, tmp_path, resume):
        writing = atomic_folder(tmp_path / "dos", resume=resume)
        with pytest.raises(KeyError), writing as made:
            (made / "half").touch()
            (made.parent / "cache").write_text("read")
            raise KeyError
        assert names(tmp_path) == ["dos.unfinished"] * resume
        if resume:
            with atomic_folder(tmp_path / "dos", resume=True) as made:
                assert names(made) == []
                assert (made.parent / "cache").exists()
            assert names(tmp_path) == ["dos"]

    def test_an_error_with_nothing_to_keep(self, tmp_path):
        """Nothing is left, nor the folders around it, but for those that were there."""
        writing = atomic_folder(tmp_path / "new" / "set" / "dos", resume=True)
        with pytest.raises(KeyError), writing as made:
            (made.parent / "begun").touch()
            raise KeyError
        assert names(tmp_path) == []

    def test_one_at_a_time(self, tmp_path):
        first, second = (atomic_folder(tmp_path / "dos", resume=True) for _ in range(2))
        message = r"another process writes to .*dos\.unfinished"
        with first, pytest.raises(ValueError, match=message), second:
            pass

    def test_replaces_only_its_like(self, tmp_path):
        (tmp_path / "dos").mkdir()
        (tmp_path / "dos" / "old").touch()
        message = "dos already exists; remove it"
        with pytest.raises(ValueError, match=message), atomic_folder(tmp_path / "dos"):
            pass
        with atomic_folder(
            tmp_path / "dos", is_replaceable=lambda path: names(path) == ["old"]
        ):
            pass
        assert names(tmp_path / "dos") == []
