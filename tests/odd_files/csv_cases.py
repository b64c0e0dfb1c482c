"""CSV files as Excel, R, pandas, survey tools and shops write them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.odd_files.cases import SENTENCES, Case, lines, numbered, text_file

QUOTED = ['A 5" pipe is too thin for this pump', *SENTENCES[1:]]
SAID = ['"Yes" he said, and then he sent the parcel back', *SENTENCES[1:]]
MARKS = [text.replace(",", "") for text in SENTENCES]
BARE = [f"{text} ({number})" for number in range(3) for text in SENTENCES][:22]
UMLAUTS = [
    "Die Lieferung kam zwei Tage zu spät und niemand sagte, warum",
    "Ein sehr freundlicher Fahrer trug die Maschine für uns hinauf",
    "Der Deckel ist nach drei Wochen gebrochen, wie ärgerlich",
    "Ich würde die Lampe wieder kaufen, das Licht ist schön",
    "Die Anleitung gibt es nur auf Dänisch, das lese ich nicht",
    "Unsere Katze liebt die Schachtel mehr als das Spielzeug",
    "Das Geld kam schnell zurück, 25 € in drei Tagen",
    "Ein Brett fehlte, jetzt steht der Schrank ganz schief",
]


def table(header: Sequence[str], *columns: Sequence[Any], **options: Any) -> str:
    """Return a CSV as Python's csv writes it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n", **options)
    writer.writerows([header, *zip(*columns, strict=True)])
    return out.getvalue()


def bare(separator: str, *columns: Sequence[str]) -> str:
    """Return rows without any quoting, as a shell script or a database client writes them."""
    return lines(*(separator.join(row) for row in zip(*columns, strict=True)))


def with_bom_in_the_second(folder: Path) -> None:
    folder.mkdir()
    (folder / "1.csv").write_text(table(["id", "text"], numbered()[:4], SENTENCES[:4]))
    (folder / "2.csv").write_bytes(table(["id", "text"], numbered()[4:], SENTENCES[4:]).encode("utf-8-sig"))


def two_separators(folder: Path) -> None:
    folder.mkdir()
    (folder / "1.csv").write_text(table(["id", "text"], numbered()[:4], SENTENCES[:4]))
    (folder / "2.csv").write_text(table(["id", "text"], numbered()[4:], SENTENCES[4:], delimiter=";"))


def other_order(folder: Path) -> None:
    folder.mkdir()
    (folder / "1.csv").write_text(table(["id", "text", "n"], numbered()[:4], SENTENCES[:4], range(4)))
    (folder / "2.csv").write_text(table(["text", "id"], SENTENCES[4:], numbered()[4:]))


def pandas_file(**options: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        import pandas as pd

        frame = pd.DataFrame({"id": numbered("A{:03d}"), "text": list(SENTENCES)})
        frame.to_csv(path, index=False, **options)

    return write


QUALTRICS = lines(
    "StartDate,ResponseId,Q1",
    'Start Date,Response ID,"What do you think of our shop?\nPlease be honest."',
    '"{""ImportId"":""startDate""}","{""ImportId"":""_recordId""}","{""ImportId"":""QID1_TEXT""}"',
) + bare(",", ["2024-01-31 12:00:00"] * 8, numbered("R_{}xYz"), MARKS)

SURVEYMONKEY = lines(
    "Respondent ID,Collector ID,Tell us what you think,How did you hear of us?,",
    ",,Open-Ended Response,Response,Other (please specify)",
) + "".join(f"1187{i},42,{text},Friend,\n" for i, text in enumerate(MARKS))

PLAIN = table(["id", "text"], numbered("A{}"), SENTENCES)
SEMICOLONS = table(["Nummer", "Kommentar"], numbered("V-{}"), UMLAUTS, delimiter=";")

CSV_CASES = [
    Case("plain.csv", text_file(PLAIN), ids=numbered("A{}")),
    Case(
        "pipe.csv",
        text_file(bare(",", ["id", *numbered("A{}")], ["text", *map(str, [QUOTED[0], *MARKS[1:]])])),
        texts=[QUOTED[0], *MARKS[1:]],
        ids=numbered("A{}"),
        keys={"quote": ""},
    ),
    Case(
        "said.tsv",
        text_file(bare("\t", ["id", *numbered("A{}")], ["text", *SAID])),
        texts=SAID,
        ids=numbered("A{}"),
        keys={"quote": ""},
    ),
    Case(
        "mixed_quotes.csv",
        text_file(
            "id,text\n"
            + "".join(
                f'A{i},"{text}"\n'
                if i != 3
                else f'A{i},a 5" pipe, no\n'.replace(",", ",", 1).replace(", no", " no")
                for i, text in enumerate(SENTENCES)
            )
        ),
        texts=[text if i != 3 else 'a 5" pipe no' for i, text in enumerate(SENTENCES)],
        ids=[f"A{i}" for i in range(8)],
    ),
    Case(
        "quotations.tsv",
        text_file(bare("\t", ["id", *map(str, range(24))], ["text", '"A quotation"', 'a 5" pipe', *BARE])),
        texts=['"A quotation"', 'a 5" pipe', *BARE],
        ids=list(map(str, range(24))),
        keys={"quote": ""},
    ),
    Case(
        "inner_quotes.csv",
        text_file(
            "id,text\n" + "".join(f'A{i},"The "big" one: {text}"\n' for i, text in enumerate(SENTENCES))
        ),
        texts=[f'The "big" one: {text}' for text in SENTENCES],
        ids=[f"A{i}" for i in range(8)],
    ),
    Case(
        "lone_opening.tsv",
        text_file(bare("\t", ["id", *numbered("A{}")], ["text", '"Tis the season', *SENTENCES[1:]])),
        texts=['"Tis the season', *SENTENCES[1:]],
        ids=numbered("A{}"),
        keys={"quote": ""},
    ),
    Case(
        "line_ends_in_texts.csv",
        text_file(table(["id", "text"], numbered("A{}"), [t.replace(" and", "\nand") for t in SENTENCES])),
        texts=[t.replace(" and", "\nand") for t in SENTENCES],
        ids=numbered("A{}"),
    ),
    Case(
        "cp1252.csv",
        text_file(SEMICOLONS, "cp1252"),
        texts=UMLAUTS,
        ids=numbered("V-{}"),
        keys={"encoding": "cp1252", "separator": ";"},
    ),
    Case(
        "latin1.csv",
        text_file(SEMICOLONS.replace("€", "Euro"), "latin-1"),
        texts=[text.replace("€", "Euro") for text in UMLAUTS],
        ids=numbered("V-{}"),
        keys={"encoding": "cp1252"},
    ),
    Case(
        "utf16.csv",
        text_file(SEMICOLONS, "utf-16"),
        texts=UMLAUTS,
        ids=numbered("V-{}"),
        says=["its encoding is utf-16"],
    ),
    Case(
        "excel_unicode_text.tsv",
        text_file(SEMICOLONS.replace(";", "\t").replace("\n", "\r\n"), "utf-16"),
        texts=UMLAUTS,
        ids=numbered("V-{}"),
    ),
    Case(
        "utf16_without_mark.csv",
        text_file(SEMICOLONS, "utf-16-le"),
        texts=UMLAUTS,
        ids=numbered("V-{}"),
        keys={"encoding": "utf_16_le"},
    ),
    Case(
        "excel_utf8.csv",
        text_file(SEMICOLONS.replace("\n", "\r\n"), "utf-8-sig"),
        texts=UMLAUTS,
        ids=numbered("V-{}"),
    ),
    Case("bom_in_the_second/*.csv", with_bom_in_the_second, ids=numbered()),
    Case(
        "two_separators/*.csv",
        two_separators,
        ids=numbered(),
        says=["the files have different separators: 1.csv has ',', 2.csv has ';'"],
    ),
    Case(
        "other_order/*.csv",
        other_order,
        ids=numbered(),
        columns={"n": [0, 1, 2, 3, None, None, None, None]},
        says=["has no column 'n'"],
    ),
    Case(
        "sep.csv",
        text_file("sep=;\r\n" + SEMICOLONS.replace("\n", "\r\n"), "utf-8-sig"),
        texts=UMLAUTS,
        ids=numbered("V-{}"),
        keys={"separator": ";", "skip_rows": 1},
    ),
    Case(
        "titles.csv",
        text_file("Feedback of our customers\nExported on 31.01.2024\n\n" + PLAIN),
        ids=numbered("A{}"),
        keys={"skip_rows": 3},
        says=["the header is on line 4, below 2 lines of titles"],
    ),
    Case(
        "padded_titles.csv",
        text_file(
            "Feedback 2024;;\nExported;;\n;;\n"
            + table(["id", "text", "stars"], numbered("A{}"), SENTENCES, range(8), delimiter=";")
        ),
        ids=numbered("A{}"),
        columns={"stars": list(range(8))},
        keys={"separator": ";", "skip_rows": 3},
    ),
    Case(
        "trailing_commas.csv",
        text_file("id,text\n" + "".join(f"A{i},{text},\n" for i, text in enumerate(MARKS))),
        texts=MARKS,
        ids=[f"A{i}" for i in range(8)],
    ),
    Case(
        "short_rows.csv",
        text_file(
            "id,text,stars\n"
            + "".join(f"A{i},{t},{i}\n" if i else f"A{i},{t}\n" for i, t in enumerate(MARKS))
        ),
        texts=MARKS,
        ids=[f"A{i}" for i in range(8)],
        columns={"stars": [None, *range(1, 8)]},
        says=["1 row has fewer fields than the header, which has 3 (line 2)"],
    ),
    Case(
        "old_mac.csv",
        text_file(PLAIN.replace("\n", "\r")),
        ids=numbered("A{}"),
        says=["its lines end in CR only"],
    ),
    Case(
        "qualtrics.csv",
        text_file(QUALTRICS),
        texts=MARKS,
        ids=numbered("R_{}xYz"),
        times=["2024-01-31T12:00:00"] * 8,
        keys={"header": 3},
    ),
    Case(
        "surveymonkey.csv",
        text_file(SURVEYMONKEY),
        texts=MARKS,
        ids=[f"1187{i}" for i in range(8)],
        keys={"header": 2},
    ),
    Case("one_column.csv", text_file(lines("text", *SENTENCES))),
    Case(
        "leading_zeros.csv",
        text_file(
            table(
                ["id", "postcode", "phone", "n", "text"],
                numbered("0004{}"),
                ["01067"] * 8,
                ["+4930123456"] * 8,
                range(8),
                SENTENCES,
            )
        ),
        ids=numbered("0004{}"),
        columns={"postcode": ["01067"] * 8, "phone": ["+4930123456"] * 8, "n": list(range(8))},
    ),
    Case(
        "long_numbers.csv",
        text_file(
            table(["id", "account", "text"], numbered("1234567890123456789012{}"), ["9" * 22] * 8, SENTENCES)
        ),
        ids=numbered("1234567890123456789012{}"),
        columns={"account": ["9" * 22] * 8},
    ),
    *(
        Case(
            "ids.csv",
            text_file(table([name, "text"], values, SENTENCES)),
            ids=values,
            label=f"id column {name}",
        )
        for name, values in {
            "ticket": numbered(),
            "Nummer": numbered("{}"),
            "key": numbered("k{}"),
            "uuid": numbered("0c-{}"),
            "Response ID": numbered("R_{}"),
            "_id": numbered("doc{}"),
            "Vorgang": numbered("V/{}"),
        }.items()
    ),
    Case(
        "vectors.csv",
        text_file(
            table(["id", "embedding", "text"], numbered("A{}"), ["[0.1, -0.25, 1e-05, 0.5]"] * 8, SENTENCES)
        ),
        ids=numbered("A{}"),
        says=["vectors: column 'embedding'"],
    ),
    Case(
        "numpy_vectors.csv",
        text_file(
            table(["id", "vec", "text"], numbered("A{}"), ["[ 0.1 -0.25  1.e-05\n 0.5 0.7 ]"] * 8, SENTENCES)
        ),
        ids=numbered("A{}"),
        says=["vectors: column 'vec'"],
    ),
    Case(
        "decimal_commas.csv",
        text_file(
            table(
                ["id", "Preis", "Rabatt", "text"],
                numbered("A{}"),
                ["1.234,50 €", "9,90 €"] * 4,
                ["12 %", "5 %"] * 4,
                SENTENCES,
                delimiter=";",
            )
        ),
        ids=numbered("A{}"),
        says=["numbers: column 'Preis', such as '1.234,50 €', is kept as text", "label: no column"],
    ),
    Case("pandas.csv.gz", pandas_file(), ids=numbered("A{:03d}")),
    Case("pandas.csv.zip", pandas_file(), ids=numbered("A{:03d}")),
    Case("pandas.csv.zst", pandas_file(), ids=numbered("A{:03d}")),
    Case(
        "r_write_csv.csv",
        text_file('"id","text"\n' + "".join(f'"A{i}","{text}"\n' for i, text in enumerate(SENTENCES))),
        ids=[f"A{i}" for i in range(8)],
    ),
]
"""Each through `init` and `load`."""
