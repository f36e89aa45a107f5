"""What format does an image file have? Told by its first bytes, never by its name."""

KINDS = "PNG, JPEG, TIFF, BMP, WebP, HEIC, AVIF, JPEG 2000, OpenEXR or camera raw"  # in words, for messages
HEAD = 64  # bytes that tell it
_SIGNATURES = {
  b"\x89PNG\r\n\x1a\n": "PNG",
  b"\xff\xd8\xff": "JPEG",
  b"II*\0": "TIFF",
  b"MM\0*": "TIFF",
  b"II+\0": "TIFF",  # the 64-bit TIFF
  b"MM\0+": "TIFF",
  b"BM": "BMP",
  b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG2000",
  b"\xff\x4f\xff\x51": "JPEG2000",  # its code stream without a container
  b"v/1\x01": "EXR",
}
_RAW = {  # camera raw files that their first bytes tell: where the signature lies, and whose it is
  (0, b"FUJIFILMCCD-RAW"): "Fujifilm RAF", (0, b"IIU\0"): "Panasonic RW2", (0, b"IIRO"): "Olympus ORF",
  (0, b"IIRS"): "Olympus ORF", (0, b"MMOR"): "Olympus ORF", (4, b"ftypcrx"): "Canon CR3", (6, b"HEAPCCDR"): "Canon CRW",
  (8, b"CR\x02"): "Canon CR2", (8, b"IIII"): "Phase One IIQ", (0, b"FOVb"): "Sigma X3F", (0, b"\0MRM"): "Minolta MRW",
}  # fmt: skip
# Brands of ISO's base media file format, ISO/IEC 23008-12 and AVIF's own.
_AVIF, _HEIF = {b"avif", b"avis"}, {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def sniff(head: bytes) -> str | None:
  """Name of the image format that the first `HEAD` bytes announce: PNG, JPEG, TIFF, BMP, WEBP, JPEG2000, EXR, AVIF,
  HEIF, or RAW; None for any other. A camera raw file in the shape of a TIFF is announced as TIFF."""
  if raw_maker(head) is not None:
    return "RAW"
  if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
    return "WEBP"
  if head[4:8] == b"ftyp":
    return _boxed(head)
  return next((name for signature, name in _SIGNATURES.items() if head.startswith(signature)), None)


def raw_maker(head: bytes) -> str | None:
  """Whose camera raw file these first bytes announce, in words; None if they announce none."""
  for (at, signature), maker in _RAW.items():
    if head[at:].startswith(signature) and (at != 8 or head[:2] in (b"II", b"MM")):
      return maker
  return None


def _boxed(head: bytes) -> str | None:
  """The major brand, then those that the file is compatible with: of `mif1` these say which coding."""
  end = min(int.from_bytes(head[:4], "big"), len(head))
  brands = {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}
  return "AVIF" if brands & _AVIF else "HEIF" if brands & _HEIF else None
