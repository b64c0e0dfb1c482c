"""Files of many programs: JSON, text, Excel, Arrow, databases, mail, dumps, web archives, Parquet of many types."""

from __future__ import annotations

import json
import mailbox
import sqlite3
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import polars as pl

from tests.odd_files.cases import SENTENCES, Case, lines, numbered, rows, text_file

IDS = numbered("A{}")
ROWS = rows(id=IDS)
FRAME = pl.DataFrame(ROWS)
TITLES = [f"About {text.split()[1]} and more" for text in SENTENCES]
JOINED = [f"{title}\n\n{text}" for title, text in zip(TITLES, SENTENCES, strict=True)]
HTML = [
    f"<p>{text}.<br/>Regards &amp; thanks&nbsp;<b>Ann</b></p><script>var x = 1;</script>"
    for text in SENTENCES
]


def arrow_types() -> dict[str, Any]:
    import pyarrow as pa

    values = np.arange(32, dtype=np.float16).reshape(8, 4)
    return {
        "id": pa.array(IDS, pa.large_string()),
        "kind": pa.array(["new", "old"] * 4).dictionary_encode(),
        "half": pa.array([list(each) for each in values], pa.list_(pa.float16())),
        "fixed": pa.array([[1.0, 2.0]] * 8, pa.list_(pa.float32(), 2)),
        "body": pa.array(SENTENCES).dictionary_encode(),
    }


def parquet_of_types(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(arrow_types()), path)


def pandas_index(path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame({"text": list(SENTENCES)}, index=pd.Index(IDS, name="ticket"))
    frame.assign(kind=pd.Categorical(["new", "old"] * 4)).to_parquet(path)


def several_parquets(folder: Path) -> None:
    folder.mkdir()
    FRAME.head(4).with_columns(n=pl.int_range(4)).write_parquet(folder / "1.parquet")
    FRAME.tail(4).select("text", "id").write_parquet(folder / "2.parquet")


def arrow_file(path: Path) -> None:
    FRAME.write_ipc(path)


def arrow_stream(path: Path) -> None:
    FRAME.write_ipc_stream(path)


def feather(path: Path) -> None:
    FRAME.to_pandas().to_feather(path)


def saved_dataset(path: Path) -> None:
    from datasets import Dataset

    Dataset.from_list(ROWS).save_to_disk(str(path), num_shards=2)


def workbook(path: Path) -> None:
    import datetime as dt

    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    sheet.title = "Feedback"
    sheet.append(["Feedback of our customers"])
    sheet.append([])
    sheet.append(["Nr", "Datum", "PLZ", "Kommentar"])
    for number, text in enumerate(SENTENCES, 1):
        sheet.append([number, dt.datetime(2024, 1, number, 12), f"0106{number}", text])  # noqa: DTZ001
    book.create_sheet("Legend").append(["Nr is the number of the ticket"])
    book.create_sheet("Empty")
    book.save(path)


def pandas_workbook(path: Path) -> None:
    FRAME.to_pandas().to_excel(path, index=False)


def sqlite_file(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("create table reviews (id text primary key, text text, stars integer)")
        connection.executemany(
            "insert into reviews values (?, ?, 5)", [(row["id"], row["text"]) for row in ROWS]
        )
    connection.close()


def duckdb_file(path: Path) -> None:
    import duckdb

    with duckdb.connect(str(path)) as connection:
        connection.execute("create table reviews (id varchar, text varchar, stars integer)")
        connection.executemany(
            "insert into reviews values (?, ?, 5)", [(row["id"], row["text"]) for row in ROWS]
        )


def message(number: int, text: str) -> EmailMessage:
    found = EmailMessage()
    found["From"] = "Änne <anne@example.org>"
    found["To"] = "shop@example.org"
    found["Subject"] = f"Häßliche Verpackung {number}"
    found["Date"] = "Wed, 31 Jan 2024 13:00:00 +0100"
    found["Message-ID"] = f"<{number}@example.org>"
    found.set_content(text)
    if number % 2:
        found.add_alternative(f"<p>{text}</p>", subtype="html")
        found.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="a.pdf")
    return found


def mbox(path: Path) -> None:
    box = mailbox.mbox(path)
    for number, text in enumerate(SENTENCES, 1):
        box.add(message(number, text))
    box.close()


def eml_folder(folder: Path) -> None:
    folder.mkdir()
    for number, text in enumerate(SENTENCES, 1):
        (folder / f"{number}.eml").write_bytes(message(number, text).as_bytes())


def posts(path: Path) -> None:
    body = "".join(
        f'  <row Id="{number}" PostTypeId="1" CreationDate="2024-01-31T12:00:00.000" Score="{number}" '
        f"Body={quoteattr(html)} Title={quoteattr(TITLES[number - 1])} />\n"
        for number, html in enumerate(HTML, 1)
    )
    path.write_text(
        f'\ufeff<?xml version="1.0" encoding="utf-8"?>\n<posts>\n{body}</posts>\n', encoding="utf-8"
    )


def warc(path: Path, kind: str = "conversion") -> None:
    from warcio.statusandheaders import StatusAndHeaders
    from warcio.warcwriter import WARCWriter

    with path.open("wb") as file:
        writer = WARCWriter(file, gzip=path.suffix == ".gz")
        writer.write_record(writer.create_warcinfo_record("a.warc", {"software": "a test"}))
        for number, text in enumerate(SENTENCES):
            url, date = f"https://example.org/{number}", {"WARC-Date": "2024-01-31T12:00:00Z"}
            if kind == "response":
                page = f"<html><head><title>A page</title><style>p {{}}</style></head><body><p>{text}</p></body></html>"
                http = StatusAndHeaders(
                    "200 OK", [("Content-Type", "text/html; charset=utf-8")], protocol="HTTP/1.1"
                )
                payload, more = page, {"http_headers": http}
            else:
                payload, more = text, {"warc_content_type": "text/plain"}
            import io

            data = io.BytesIO(payload.encode())
            writer.write_record(
                writer.create_warc_record(url, kind, payload=data, warc_headers_dict=date, **more)
            )


NESTED = [
    {"data": {"text": text, "user": {"id": ident, "name": "Ann"}}, "created_at": "2024-01-31T12:00:00Z"}
    for ident, text in zip(IDS, SENTENCES, strict=True)
]
LETTERS = [f"Häßliche Verpackung {number}\n\n{text}\n" for number, text in enumerate(SENTENCES, 1)]
NDJSON = lines(*map(json.dumps, ROWS))

FORMAT_CASES = [
    Case("array.json", text_file(json.dumps(ROWS, indent=2)), ids=IDS),
    Case("array_on_one_line.json", text_file(json.dumps(ROWS)), ids=IDS),
    Case("pandas.json", lambda path: FRAME.to_pandas().to_json(path, orient="records"), ids=IDS),
    Case("answer_of_an_api.json", text_file(json.dumps({"count": 8, "results": ROWS})), ids=IDS),
    Case("lines.json", text_file(NDJSON), ids=IDS),
    Case("objects.json", text_file("\n".join(json.dumps(row, indent=1) for row in ROWS)), ids=IDS),
    Case(
        "nested.jsonl",
        text_file(lines(*map(json.dumps, NESTED))),
        ids=IDS,
        times=["2024-01-31T12:00:00"] * 8,
        keys={"text_column": "data.text", "id_column": "data.user.id"},
    ),
    Case("blank_lines.ndjson", text_file(NDJSON.replace("\n", "\n\n")), ids=IDS),
    Case(
        "cut.ndjson",
        text_file(NDJSON[:-20]),
        texts=SENTENCES[:7],
        ids=IDS[:7],
        says=["the last line (8) is cut and was left out"],
    ),
    Case(
        "beir.jsonl",
        text_file(
            lines(
                *(
                    json.dumps({"_id": i, "title": t, "text": s, "metadata": {}})
                    for i, t, s in zip(IDS, TITLES, SENTENCES, strict=True)
                )
            )
        ),
        texts=JOINED,
        ids=IDS,
        keys={"text_column": ["title", "text"]},
    ),
    Case("sentences.txt", text_file(lines(*SENTENCES)), keys={"format": "lines"}),
    Case(
        "sentences_windows.txt", text_file(lines(*SENTENCES, end="\r\n"), "cp1252"), keys={"format": "lines"}
    ),
    Case(
        "titles.xlsx",
        workbook,
        ids=numbered(),
        times=[f"2024-01-0{n}T12:00:00" for n in range(1, 9)],
        columns={"PLZ": [f"0106{n}" for n in range(1, 9)], "Nr": list(range(1, 9))},
        keys={"sheet": "Feedback"},
    ),
    Case("pandas.xlsx", pandas_workbook, ids=IDS),
    Case("file.arrow", arrow_file, ids=IDS),
    Case("stream.arrow", arrow_stream, ids=IDS),
    Case("pandas.feather", feather, ids=IDS),
    Case("saved_dataset", saved_dataset, ids=IDS),
    Case("reviews.sqlite", sqlite_file, ids=IDS, columns={"stars": [5] * 8}),
    Case("reviews.duckdb", duckdb_file, ids=IDS, columns={"stars": [5] * 8}),
    Case(
        "letters.mbox",
        mbox,
        texts=LETTERS,
        ids=[f"<{n}@example.org>" for n in range(1, 9)],
        times=["2024-01-31T12:00:00"] * 8,
    ),
    Case(
        "letters",
        eml_folder,
        texts=LETTERS,
        ids=[f"<{n}@example.org>" for n in range(1, 9)],
        times=["2024-01-31T12:00:00"] * 8,
    ),
    Case(
        "Posts.xml",
        posts,
        texts=[f"{t}\n{s}.\nRegards & thanks Ann" for t, s in zip(TITLES, SENTENCES, strict=True)],
        ids=numbered(),
        times=["2024-01-31T12:00:00"] * 8,
        columns={"Score": list(range(1, 9)), "Body": HTML},
        keys={"clean": ["html"]},
        says=["100% of the texts hold tags or entities of HTML"],
    ),
    Case(
        "pages.warc.wet.gz",
        warc,
        ids=[f"https://example.org/{n}" for n in range(8)],
        times=["2024-01-31T12:00:00"] * 8,
    ),
    Case(
        "pages.warc",
        lambda path: warc(path, "response"),
        texts=[f"A page\n{text}" for text in SENTENCES],
        ids=[f"https://example.org/{n}" for n in range(8)],
    ),
    Case(
        "types.parquet",
        parquet_of_types,
        ids=IDS,
        columns={"kind": ["new", "old"] * 4},
    ),
    Case("pandas_index.parquet", pandas_index, ids=IDS, columns={"kind": ["new", "old"] * 4}),
    Case("several/*.parquet", several_parquets, ids=IDS, columns={"n": [0, 1, 2, 3, None, None, None, None]}),
]
"""Each through `init` and `load`."""
