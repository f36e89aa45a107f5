"""Is a listing of many names, which lie on disk, what one of few is in memory?"""

import pytest

from dig2dig_jax.stores import listing, store
from dig2dig_jax.stores.listing import Found, Listing
from dig2dig_jax.stores.path import StorePath, forget

ROWS = [("b", Found(3, False)), ("é", Found(0, False)), ("a", Found(0, True)), ("\udcff", Found(2**40, False))]


@pytest.mark.parametrize("few", [0, 3, 4])
def test_names_are_found_whether_few_or_many(monkeypatch, few):
  monkeypatch.setattr(listing, "FEW", few)
  monkeypatch.setattr(listing, "_AT_ONCE", 2)
  found = Listing(ROWS)
  assert found.is_large == (few < 4) and sorted(found.items()) == sorted(ROWS) and sorted(found) == sorted(dict(ROWS))
  assert [found.get(name) for name, _ in ROWS] == [row for _, row in ROWS] and found.get("c") is None
  found.add("c", Found(7, False))
  found.add("b", Found(4, False))
  assert (found.get("c"), found.get("b")) == (Found(7, False), Found(4, False)) and len(list(found)) == 5


def test_a_large_folder_is_not_listed_again_for_one_name(monkeypatch):
  pytest.importorskip("fsspec")
  forget()
  place = StorePath("memory://large", {})
  for name in "abc":
    (place / name).write_bytes(name.encode())
  asked = []
  kept = store.Store._rows
  monkeypatch.setattr(store.Store, "_rows", lambda self, folder: asked.append(folder) or kept(self, folder))
  for few, times in ((1, 1), (9, 3)):  # of few names, a listing that is believed no longer is made anew
    monkeypatch.setattr(listing, "FEW", few)
    monkeypatch.setattr(store, "_KEPT", 0.0)
    monkeypatch.setattr(store, "_KEPT_TIMES", 0.0)
    forget()
    asked.clear()
    again = StorePath("memory://large", {})
    assert sorted(again.names()) == [(name, False) for name in "abc"]
    assert (again / "b").stat().st_size == 1 and not (again / "d").exists()
    assert len(asked) >= times and (few == 9 or len(asked) == 1)
  forget()
