"""Payment files: a spreadsheet opens the CSV right, banks get what their schema says, and what they say is
believed only where it is exactly a payment of ours.
"""

import csv
import io
from decimal import Decimal
from xml.etree import ElementTree

import pytest
from msgspec.structs import replace

from bench.settlement_records import make_coalition
from node.coalition.directory import Directory, PaymentAccount
from node.settlement.documents import (
    OPERATOR_ID,
    Correction,
    FeeLine,
    MissingClose,
    MissingReason,
    Net,
    Payment,
    PrepaidLine,
    StatementFacts,
)
from node.settlement.statement import WindowInput
from node.wire.settlement_camt import BankFileUnreadable, matched, read_bank_file
from node.wire.settlement_csv import money, statement_csv
from node.wire.settlement_iso20022 import NotPayable, payments_file, schema_problems, settlement_file
from node.wire.settlement_lines import read_signed_statement
from tests.settlement.settlement_world import busy_world

FACTS = StatementFacts("demo", 7, 1, bytes(32), 1, "IRR", 2)
PAYMENTS = (
    Payment("m000", "m001", 123_456, "demo-7-1"),
    Payment("m000", "m002", 50, "demo-7-2"),
    Payment("m002", "m001", 1, "demo-7-3"),
)
NOW = 1_790_000_000_000


def _directory(**changes: PaymentAccount | None) -> Directory:
    directory = make_coalition(3).directory
    partners = tuple(
        replace(one, account=changes.get(one.partner_id, one.account)) for one in directory.partners
    )
    return replace(directory, partners=partners)


def _rows(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"))))


# --- CSV ---------------------------------------------------------------------------------------------------


def test_the_csv_has_every_line_of_a_statement_and_its_amounts_are_numbers() -> None:
    world = busy_world()
    read = read_signed_statement(world.settle(1, WindowInput(world.all_closes(1))))
    data = statement_csv(read.facts, read.lines, {"m000": "زعفران"})
    assert data.startswith(b"\xef\xbb\xbf")
    rows = _rows(data)
    assert len(rows) == 1 + len(read.lines)
    assert {len(row) for row in rows} == {7}
    assert any("زعفران (m000)" in row for row in rows)
    nets = [Decimal(row[4]) for row in rows if row[1] == "net"]
    assert len(nets) == 4
    assert sum(nets) == 0


def test_no_text_becomes_a_formula_in_a_spreadsheet() -> None:
    lines = (
        Correction(6, "m000", "m001", 5, '=HYPERLINK("http://evil")'),
        FeeLine("m000", "+cmd", 1_500_000),
        MissingClose("m000", "m001", MissingReason.NOBODY_SENT),
        PrepaidLine("m000", 0, 5, -3, 8),
    )
    names = {"m000": "=1+1", "m001": '@sum "quoted", and\nmore'}
    for row in _rows(statement_csv(FACTS, lines, names))[1:]:
        for cell in (row[2], row[3], row[6]):
            assert not cell.startswith(("=", "+", "@", "\t", "\r"))
    assert "0.03" in statement_csv(FACTS, lines, {}).decode()


def test_a_merchant_may_have_only_its_own_lines() -> None:
    nets = (Net("m000", -5), Net("m001", 5))
    rows = _rows(statement_csv(FACTS, [*nets, *PAYMENTS], {}, only="m001"))
    assert [row[2:4] for row in rows[1:]] == [["m001", ""], ["m000", "m001"], ["m002", "m001"]]


@pytest.mark.parametrize(
    ("units", "exponent", "text"),
    [(12_345, 2, "123.45"), (-5, 2, "-0.05"), (10**25, 0, "1" + "0" * 25), (0, 2, "0.00")],
)
def test_money_is_written_in_full(units: int, exponent: int, text: str) -> None:
    assert money(units, exponent) == text


# --- pain.001 and pacs.029 ---------------------------------------------------------------------------------


def _texts(data: bytes, name: str) -> list[str | None]:
    return [one.text for one in ElementTree.fromstring(data).iter() if one.tag.rpartition("}")[2] == name]


def test_a_bank_gets_the_payers_own_payments_and_their_sum() -> None:
    iban = PaymentAccount("Shop Two", iban="IR58 0540 1051 8002 1273 1130 07")
    data = payments_file(FACTS, PAYMENTS, _directory(m002=iban), "m000", NOW)
    assert ElementTree.fromstring(data).tag == "{urn:iso:std:iso:20022:tech:xsd:pain.001.001.09}Document"
    assert _texts(data, "EndToEndId") == ["demo-7-1", "demo-7-2"]
    assert _texts(data, "InstdAmt") == ["1234.56", "0.50"]
    assert _texts(data, "CtrlSum") == ["1235.06", "1235.06"]
    assert _texts(data, "NbOfTxs") == ["2", "2"]
    assert _texts(data, "IBAN") == ["IR580540105180021273113007"]


def test_who_pays_nothing_or_has_no_account_is_told_so_and_no_file_is_made() -> None:
    with pytest.raises(NotPayable, match="pays nothing"):
        payments_file(FACTS, PAYMENTS, _directory(), "m001", NOW)
    with pytest.raises(NotPayable, match="no bank account of m002"):
        payments_file(FACTS, PAYMENTS, _directory(m002=None), "m000", NOW)
    with pytest.raises(NotPayable, match="no bank account of operator"):
        settlement_file(FACTS, [Net(OPERATOR_ID, 5), Net("m000", -5)], _directory(), NOW)


@pytest.mark.parametrize(
    "account",
    [
        PaymentAccount("Shop", iban="not an iban"),
        PaymentAccount("Shop", other_id="1", bic="lower case"),
        PaymentAccount("Shop", other_id="9" * 35),
    ],
)
def test_what_the_schema_forbids_is_told_here_and_not_by_the_bank(account: PaymentAccount) -> None:
    with pytest.raises(NotPayable, match="would break its schema"):
        payments_file(FACTS, PAYMENTS, _directory(m001=account), "m000", NOW)


def test_an_amount_too_long_for_the_schema_is_refused() -> None:
    with pytest.raises(NotPayable, match="more than 18 digits"):
        payments_file(FACTS, [replace(PAYMENTS[0], amount=10**18)], _directory(), "m000", NOW)


def test_an_agent_gets_every_net_with_its_direction() -> None:
    nets = [Net("m000", -123_506), Net("m001", 123_457), Net("m002", 49), Net(OPERATOR_ID, 0)]
    data = settlement_file(FACTS, nets, _directory(), NOW)
    assert ElementTree.fromstring(data).tag == "{urn:iso:std:iso:20022:tech:xsd:pacs.029.001.02}Document"
    amounts = [
        Decimal(one.text or "") for one in ElementTree.fromstring(data).iter() if one.get("Ccy") == "IRR"
    ]
    signs = [1 if text == "CRDT" else -1 for text in _texts(data, "CdtDbt")]
    assert [a * s for a, s in zip(amounts, signs, strict=True)] == [
        Decimal("-1235.06"),
        Decimal("1234.57"),
        Decimal("0.49"),
    ]
    assert _texts(data, "NbOfMvmntRcrds") == ["3"]
    with pytest.raises(NotPayable, match="nothing to settle"):
        settlement_file(FACTS, [Net("m000", 0)], _directory(), NOW)


def test_both_files_are_what_the_schemas_classes_read_back() -> None:
    from pyiso20022.pacs import pacs_029_001_02
    from pyiso20022.pain import pain_001_001_09
    from xsdata.formats.dataclass.parsers import XmlParser

    pain = payments_file(FACTS, PAYMENTS, _directory(), "m000", NOW)
    nets = [Net("m000", -5), Net("m001", 5)]
    pacs = settlement_file(FACTS, nets, _directory(), NOW)
    for data, kind in ((pain, pain_001_001_09.Document), (pacs, pacs_029_001_02.Document)):
        assert list(schema_problems(XmlParser().from_bytes(data, kind))) == []


# --- camt --------------------------------------------------------------------------------------------------

_ENTRY = """<Ntry><Amt Ccy="{ccy}">{amount}</Amt><CdtDbtInd>{direction}</CdtDbtInd>{status}
<AcctSvcrRef>BANK-1</AcctSvcrRef><NtryDtls><TxDtls><Refs><EndToEndId>{reference}</EndToEndId></Refs>
<Amt Ccy="{ccy}">{amount}</Amt><CdtDbtInd>{direction}</CdtDbtInd></TxDtls></NtryDtls></Ntry>"""


def _entry(
    reference: str,
    amount: str,
    direction: str = "DBIT",
    ccy: str = "IRR",
    status: str = "<Sts><Cd>BOOK</Cd></Sts>",
) -> str:
    return _ENTRY.format(reference=reference, amount=amount, direction=direction, ccy=ccy, status=status)


def _camt(*entries: str, version: str = "053.001.08") -> bytes:
    body = "".join(entries)
    kind, inner = (
        ("BkToCstmrStmt", "Stmt") if version.startswith("053") else ("BkToCstmrDbtCdtNtfctn", "Ntfctn")
    )
    namespace = f"urn:iso:std:iso:20022:tech:xsd:camt.{version}"
    return f'<Document xmlns="{namespace}"><{kind}><{inner}>{body}</{inner}></{kind}></Document>'.encode()


def test_what_the_bank_booked_in_full_is_paid() -> None:
    data = _camt(_entry("demo-7-1", "1234.56"), _entry("demo-7-2", "0.5"), _entry("other", "7"))
    found = matched(read_bank_file(data), PAYMENTS, FACTS, "m000")
    assert [match.payment.reference for match in found.paid] == ["demo-7-1", "demo-7-2"]
    assert found.paid[0].booking.bank_reference == "BANK-1"
    assert found.wrong == ()


@pytest.mark.parametrize("version", ["053.001.02", "053.001.12", "054.001.08"])
def test_every_version_of_a_banks_file_is_read(version: str) -> None:
    status = "<Sts>BOOK</Sts>" if version.endswith("02") else "<Sts><Cd>BOOK</Cd></Sts>"
    data = _camt(_entry("demo-7-3", "0.01", "CRDT", status=status), version=version)
    assert len(matched(read_bank_file(data), PAYMENTS, FACTS, "m001").paid) == 1


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (_entry("demo-7-1", "1234.55"), "it is of 1234.55, not of 1234.56"),
        (_entry("demo-7-1", "1234.56", "CRDT"), "it went the other way"),
        (_entry("demo-7-1", "1234.56", ccy="EUR"), "it is in EUR, not IRR"),
        (_entry("demo-7-1", "NaN"), "it is of NaN, not of 1234.56"),
        (_entry("demo-7-1", "x"), "its amount is no number"),
    ],
)
def test_a_booking_that_is_not_quite_the_payment_is_shown_and_not_believed(entry: str, why: str) -> None:
    found = matched(read_bank_file(_camt(entry)), PAYMENTS, FACTS, "m000")
    assert found.paid == ()
    assert [reason for _, reason in found.wrong] == [why]


def test_money_that_was_sent_back_under_a_payments_reference_is_never_told_to_the_operator_as_come() -> None:
    data = _camt(_entry("demo-7-3", "0.01", "DBIT"))
    [(match, why)] = matched(read_bank_file(data), PAYMENTS, FACTS, "m001").wrong
    assert (match.payment.creditor_id, match.units, why) == ("m001", 0, "it went the other way")


def test_a_payment_booked_twice_is_paid_once_and_shown() -> None:
    found = matched(read_bank_file(_camt(*[_entry("demo-7-1", "1234.56")] * 2)), PAYMENTS, FACTS, "m000")
    assert (len(found.paid), [why for _, why in found.wrong]) == (1, ["it was booked twice"])


def test_what_is_only_pending_at_the_bank_is_not_paid() -> None:
    data = _camt(_entry("demo-7-1", "1234.56", status="<Sts><Cd>PDNG</Cd></Sts>"))
    assert read_bank_file(data) == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"no xml", "no XML"),
        (b"<Document><Other/></Document>", "neither camt.053 nor camt.054"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><Document/>', "declares a document type"),
    ],
)
def test_a_file_that_is_no_bank_statement_is_refused_in_words(data: bytes, words: str) -> None:
    with pytest.raises(BankFileUnreadable, match=words):
        read_bank_file(data)
