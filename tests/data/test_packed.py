from __future__ import annotations

from dlops.data import packed


def test_a_folder_arrives_as_it_was(tmp_path):
    inside = tmp_path / "here" / "deep" / "inside"
    inside.mkdir(parents=True)
    (inside / "weights.bin").write_bytes(bytes(range(256)))
    (tmp_path / "here" / "empty.txt").touch()
    packed.unpack(packed.files(tmp_path / "here"), tmp_path / "there")
    assert (tmp_path / "there" / "deep" / "inside" / "weights.bin").read_bytes() == bytes(range(256))
    assert (tmp_path / "there" / "empty.txt").read_bytes() == b""
