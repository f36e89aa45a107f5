"""Does an S3 server get and give what was meant, though it fails from time to time, and refuses what it must?"""

import importlib.util
import os

import pytest

from dig2dig_jax.data import pairs
from dig2dig_jax.errors import UserError
from dig2dig_jax.record import make_folder, write_text
from dig2dig_jax.stores import path as paths
from dig2dig_jax.stores.address import typed_place

for needed in ("moto", "s3fs", "flask"):
  if importlib.util.find_spec(needed) is None:
    pytest.skip(f"{needed} is not installed; pip install dig2dig_jax[test-cloud]", allow_module_level=True)
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def s3():
  from faulty_s3 import server

  with server() as found:
    yield found
  paths.forget()


def test_objects_are_written_listed_and_read_through_faults(s3):
  url, client, faulty = s3
  place = typed_place(url) / "faults"
  faulty._every = 8
  for number in range(8):
    (place / "a" / f"{number}.bin").write_bytes(bytes([number]) * 3000)
  for number in range(8):
    assert (typed_place(url) / "faults" / "a" / f"{number}.bin").read_bytes() == bytes([number]) * 3000
  assert sorted(path.name for path in (place / "a").iterdir()) == [f"{number}.bin" for number in range(8)]
  faulty._every = 0
  assert min(faulty.count.values()) > 0
  found = client.list_objects_v2(Bucket="pairs", Prefix="faults/")["Contents"]
  assert [entry["Size"] for entry in found] == [3000] * 8  # each is there, whole, and nothing else


def test_a_folder_is_listed_by_pages_each_with_its_own_retries(s3, monkeypatch):
  url, _, faulty = s3
  place = typed_place(url) / "pages"
  for name in ("a", "b", "c", "d/x", "e"):
    (place / name).write_bytes(name.encode())
  monkeypatch.setattr("dig2dig_jax.stores.store._PAGE", 2)
  paths.forget()
  faulty._every = 7
  assert sorted((typed_place(url) / "pages").names()) == [(name, name == "d") for name in "abcde"]
  faulty._every = 0
  assert sorted((typed_place(url) / "pages/d").names()) == [("x", False)]
  with pytest.raises(FileNotFoundError):
    list((typed_place(url) / "pages/none").names())


def test_a_bucket_that_is_missing_is_named(s3):
  with pytest.raises(UserError, match="s3://nowhere/data: .* found no(thing there| such bucket); check --data"):
    pairs.find_pairs(typed_place("s3://nowhere/data"), ("ir", "vi"))
  with pytest.raises(UserError, match="s3://nowhere/out: expected a bucket to write to, found none called nowhere"):
    make_folder(typed_place("s3://nowhere/out"))


def test_a_refusal_for_want_of_permission_is_one_line_and_not_repeated(s3, monkeypatch):
  url, _, faulty = s3
  asked = []

  def refusing(environ, start_response):
    asked.append(environ["REQUEST_METHOD"])
    body = b"<Error><Code>AccessDenied</Code><Message>Access Denied to no-key</Message></Error>"
    start_response("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    # HEAD is answered without a body: one would be taken for the next answer's beginning, and the request be repeated.
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

  monkeypatch.setattr(faulty, "_app", refusing)
  with pytest.raises(UserError) as raised:
    write_text(typed_place(url) / "refused" / "run.json", "text", known=True)
  assert "found no permission (check the credentials" in str(raised.value) and "no-key" not in str(raised.value)
  assert asked == ["GET", "HEAD"]


def test_without_credentials_that_is_said(s3, monkeypatch):
  url, _, _ = s3
  for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
    monkeypatch.delenv(name)
  monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
  monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
  paths.forget()
  import s3fs

  s3fs.S3FileSystem.clear_instance_cache()
  with pytest.raises(PermissionError) as raised:
    (typed_place(url) / "a").write_bytes(b"1")
  assert "credentials" in raised.value.strerror
  paths.forget()
  s3fs.S3FileSystem.clear_instance_cache()
