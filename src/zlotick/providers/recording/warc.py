"""The form of a recording on disk: WARC 1.1 (ISO 28500), which the tools of web archives read too.

An answer is a ``response`` record, or a ``revisit`` when its body is that of the answer before; where no answer came,
a ``metadata`` record has the refusal as JSON. Each record is a gzip member of its own. Imported only where there is
something to record or to play back, so that nothing else waits for ``warcio``.
"""

from __future__ import annotations

import base64
import hashlib
from http.client import responses
from io import BytesIO
from typing import NamedTuple

import msgspec
from warcio.exceptions import ArchiveLoadFailed
from warcio.recordloader import ArcWarcRecordLoader
from warcio.statusandheaders import StatusAndHeaders, StatusAndHeadersParser, StatusAndHeadersParserException
from warcio.warcwriter import WARCWriter

from zlotick.providers.recording.head import Head

_PATH = "Zlotick-Path"  # the request as the provider made it, which playback looks for
# They describe the body as it was sent; it is kept unpacked, and readers would unpack it again.
_OF_THE_TRANSFER = frozenset({"content-encoding", "content-length", "transfer-encoding"})


class Kept(NamedTuple):
    """A body that is in the file already, and when it was received."""

    digest: str
    received_at: str


def digest_of(body: bytes) -> str:
    """In the form of WARC-Payload-Digest."""
    sha1 = hashlib.sha1(body, usedforsecurity=False)
    return f"sha1:{base64.b32encode(sha1.digest()).decode()}"


def packed(url: str, head: Head, body: bytes, kept: Kept | None) -> bytes:
    """The record of an answer or a refusal. With ``kept`` it refers to that body instead of repeating it."""
    out = BytesIO()
    writer = WARCWriter(out, gzip=True, warc_version="1.1")
    fields = {"WARC-Date": head.received_at, _PATH: head.path}
    if head.refusal:
        text = msgspec.json.encode(head)
        record = writer.create_warc_record(
            url, "metadata", BytesIO(text), len(text), "application/json", fields
        )
    else:
        headers = [(f"x-orig-{k}" if k in _OF_THE_TRANSFER else k, v) for k, v in head.headers.items()]
        status = f"{head.status} {responses.get(head.status, '')}".rstrip()
        http = StatusAndHeaders(status, headers, protocol="HTTP/1.1")
        if kept:
            record = writer.create_revisit_record(url, kept.digest, url, kept.received_at, http, fields)
        else:
            record = writer.create_warc_record(
                url, "response", BytesIO(body), len(body), warc_headers_dict=fields, http_headers=http
            )
    writer.write_record(record)
    return out.getvalue()


def parsed(data: bytes) -> tuple[Head, bytes | None]:
    """An unpacked record: its head, and its body if it has one of its own. Raises ValueError."""
    try:
        # The HTTP part is parsed below: warcio would fail on a record without an address, before it can be refused.
        record = ArcWarcRecordLoader().parse_record_stream(
            BytesIO(data), known_format="warc", no_record_parse=True
        )
        if record.rec_type == "metadata":
            return msgspec.json.decode(record.raw_stream.read(), type=Head), None
        fields = record.rec_headers
        path, received_at = fields.get_header(_PATH), fields.get_header("WARC-Date")
        if record.rec_type not in ("response", "revisit") or not path or not received_at:
            raise ValueError(f"a {record.rec_type} record that is no answer recorded by zlotick")
        http = StatusAndHeadersParser(["HTTP/1.1"]).parse(record.raw_stream)
        head = Head(received_at, path, int(http.get_statuscode()), dict(http.headers))
        return head, record.raw_stream.read() if record.rec_type == "response" else None
    except (ArchiveLoadFailed, StatusAndHeadersParserException, EOFError) as error:
        raise ValueError(f"not a WARC record: {error}") from error
