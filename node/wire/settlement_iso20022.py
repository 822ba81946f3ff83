"""Payment files by ISO 20022: pain.001.001.09 for a merchant's bank, pacs.029.001.02 for a settlement agent.

The messages are the schemas' own classes (pyiso20022, made from the published schemas), written by xsdata.
Before a file is given out each field is held against what the schema says of it, so that a name too long or
an account without a number is told here in words and not by the bank.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pyiso20022.pacs import pacs_029_001_02 as pacs
from pyiso20022.pain import pain_001_001_09 as pain
from xsdata.formats.dataclass.serializers import XmlSerializer
from xsdata.formats.dataclass.serializers.config import SerializerConfig
from xsdata.models.datatype import XmlDate, XmlDateTime

from node.coalition.directory import Directory, Partner, PaymentAccount
from node.settlement.documents import OPERATOR_ID, Net, Payment, StatementFacts

AMOUNT_DIGITS = 18
MAX_NAME = 140
_REFERENCE = re.compile(r"[^A-Za-z0-9/?:().,'+ -]")


class NotPayable(ValueError):
    """A payment file cannot be made; the text says what is missing in the directory, for a person."""


def payments_file(
    facts: StatementFacts, payments: Sequence[Payment], directory: Directory, payer_id: str, now_ms: int
) -> bytes:
    """pain.001.001.09 with the payments of one payer, due today; NotPayable where an account is missing.

    Without payments there is no such file (the schema wants at least one): NotPayable says so.
    """
    own = [one for one in payments if one.debtor_id == payer_id]
    if not own:
        raise NotPayable(
            f"{payer_id} pays nothing in window {facts.window}: there is no file to give to a bank."
        )
    total = sum((_amount(one.amount, facts) for one in own), Decimal(0))
    debtor = _account_of(directory, payer_id, facts)
    at = _at(now_ms)
    instruction = pain.PaymentInstruction30(
        pmt_inf_id=f"{payer_id[:20]}-{facts.window}",
        pmt_mtd=pain.PaymentMethod3Code.TRF,
        nb_of_txs=str(len(own)),
        ctrl_sum=total,
        reqd_exctn_dt=pain.DateAndDateTime2Choice(dt=XmlDate(at.year, at.month, at.day)),
        dbtr=pain.PartyIdentification135(nm=debtor.holder[:MAX_NAME]),
        dbtr_acct=_pain_account(debtor),
        dbtr_agt=_pain_agent(debtor),
        cdt_trf_tx_inf=[_transfer(one, facts, directory) for one in own],
    )
    document = pain.Document(
        cstmr_cdt_trf_initn=pain.CustomerCreditTransferInitiationV09(
            grp_hdr=pain.GroupHeader85(
                msg_id=_message_id(payer_id, facts, now_ms),
                cre_dt_tm=XmlDateTime.from_datetime(at),
                nb_of_txs=str(len(own)),
                ctrl_sum=total,
                initg_pty=pain.PartyIdentification135(nm=debtor.holder[:MAX_NAME]),
            ),
            pmt_inf=[instruction],
        )
    )
    return _written(document, "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09")


def _transfer(payment: Payment, facts: StatementFacts, directory: Directory) -> Any:
    creditor = _account_of(directory, payment.creditor_id, facts)
    return pain.CreditTransferTransaction34(
        pmt_id=pain.PaymentIdentification6(instr_id=payment.reference, end_to_end_id=payment.reference),
        amt=pain.AmountType4Choice(
            instd_amt=pain.ActiveOrHistoricCurrencyAndAmount(
                value=_amount(payment.amount, facts), ccy=facts.currency
            )
        ),
        cdtr_agt=_pain_agent(creditor),
        cdtr=pain.PartyIdentification135(nm=creditor.holder[:MAX_NAME]),
        cdtr_acct=_pain_account(creditor),
        rmt_inf=pain.RemittanceInformation16(
            ustrd=[f"{facts.coalition_id[:60]} settlement window {facts.window}"]
        ),
    )


def settlement_file(
    facts: StatementFacts, nets: Sequence[Net], directory: Directory, now_ms: int, cycle: str = ""
) -> bytes:
    """pacs.029.001.02 with every partner's net and the operator's, which together are zero.

    The schema wants at least two movements; where fewer owe anything, NotPayable says that nothing is to be
    settled.
    """
    moving = [net for net in nets if net.payable]
    if len(moving) < 2:
        raise NotPayable(f"Nobody owes anything in window {facts.window}: there is nothing to settle.")
    records = [
        pacs.MovementRecord2(
            id=f"{facts.window}-{number}",
            seq_nb=Decimal(number),
            amt=pacs.AmountAndDirection5(
                amt=pacs.ActiveCurrencyAndAmount(value=_amount(abs(net.payable), facts), ccy=facts.currency),
                cdt_dbt=pacs.CreditDebitCode.CRDT if net.payable > 0 else pacs.CreditDebitCode.DBIT,
            ),
            ptcpt=pacs.PartyIdentification272(nm=_name_of(directory, net.party_id)),
            ptcpt_acct=_pacs_account(_account_of(directory, net.party_id, facts)),
            ref=f"{facts.coalition_id[:20]}-{facts.window}",
        )
        for number, net in enumerate(moving, 1)
    ]
    document = pacs.Document(
        mul_sttlm_req=pacs.MultilateralSettlementRequestV02(
            grp_hdr=pacs.GroupHeader104(
                msg_id=_message_id(facts.coalition_id, facts, now_ms),
                cre_dt_tm=XmlDateTime.from_datetime(_at(now_ms)),
                nb_of_sttlm_reqs="1",
                sttlm_inf=pacs.SettlementInstruction14(sttlm_mtd=pacs.SettlementMethod2Code.CLRG),
            ),
            sttlm_req=[
                pacs.MultilateralSettlementRequest3(
                    instr_id=f"{facts.coalition_id[:20]}-{facts.window}",
                    sttlm_cycl=cycle or str(facts.window),
                    nb_of_mvmnt_rcrds=Decimal(len(records)),
                    mvmnt_rcrd=records,
                )
            ],
        )
    )
    return _written(document, "urn:iso:std:iso:20022:tech:xsd:pacs.029.001.02")


# --- parts -------------------------------------------------------------------------------------------------


def _account_of(directory: Directory, party_id: str, facts: StatementFacts) -> PaymentAccount:
    account: PaymentAccount | None
    if party_id == OPERATOR_ID:
        known = [terms for terms in directory.settlement_terms if terms.from_window <= facts.window]
        account = max(known, key=lambda terms: terms.from_window).agent_account if known else None
    else:
        partner = directory.partner(party_id)
        account = partner.account if partner else None
    if account is None or not account.holder or not (account.iban or account.other_id):
        raise NotPayable(
            f"The directory names no bank account of {party_id}. Nothing was written. Let the operator add "
            f"holder and IBAN, or holder and account number, to {_place_of(party_id)} in its coalition.toml, "
            "and publish it."
        )
    return account


def _place_of(party_id: str) -> str:
    """Where the operator's terms name an account."""
    return "[settlement.agent_account]" if party_id == OPERATOR_ID else f"[partners.{party_id}.account]"


def _name_of(directory: Directory, party_id: str) -> str:
    partner: Partner | None = directory.partner(party_id)
    return (partner.name if partner else party_id)[:MAX_NAME]


def _amount(units: int, facts: StatementFacts) -> Decimal:
    if len(str(units)) > AMOUNT_DIGITS:
        raise NotPayable(f"An amount of window {facts.window} has more than {AMOUNT_DIGITS} digits.")
    return Decimal(units).scaleb(-facts.currency_exponent)


def _at(now_ms: int) -> datetime:
    return datetime.fromtimestamp(now_ms // 1000, UTC)


def _message_id(who: str, facts: StatementFacts, now_ms: int) -> str:
    return _REFERENCE.sub("", f"{who[:14]}-{facts.window}-{now_ms // 1000}")[:35]


def _pain_account(account: PaymentAccount) -> Any:
    if account.iban:
        return pain.CashAccount38(id=pain.AccountIdentification4Choice(iban=account.iban.replace(" ", "")))
    other = pain.GenericAccountIdentification1(id=account.other_id)
    return pain.CashAccount38(id=pain.AccountIdentification4Choice(othr=other))


def _pain_agent(account: PaymentAccount) -> Any:
    if account.bic:
        bank = pain.FinancialInstitutionIdentification18(bicfi=account.bic)
    else:
        # What the usage rules of pain.001 put where a bank is not named.
        unknown = pain.GenericFinancialIdentification1(id="NOTPROVIDED")
        bank = pain.FinancialInstitutionIdentification18(othr=unknown)
    return pain.BranchAndFinancialInstitutionIdentification6(fin_instn_id=bank)


def _pacs_account(account: PaymentAccount) -> Any:
    if account.iban:
        return pacs.CashAccount40(id=pacs.AccountIdentification4Choice(iban=account.iban.replace(" ", "")))
    other = pacs.GenericAccountIdentification1(id=account.other_id)
    return pacs.CashAccount40(id=pacs.AccountIdentification4Choice(othr=other))


# --- writing -----------------------------------------------------------------------------------------------


def _written(document: Any, namespace: str) -> bytes:
    problems = list(schema_problems(document))
    if problems:
        raise NotPayable(
            f"A payment file would break its schema: {'; '.join(problems[:5])}. Nothing was written."
        )
    config = SerializerConfig(indent="  ", encoding="UTF-8")
    return XmlSerializer(config=config).render(document, ns_map={None: namespace}).encode()


def schema_problems(part: Any, path: str = "") -> Iterator[str]:
    """What of a message its schema forbids: missing, too long or too short, of the wrong form, too few."""
    for one in fields(part):
        value, rules = getattr(part, one.name), one.metadata
        where = f"{path}/{rules.get('name', one.name)}"
        values = value if isinstance(value, list) else [] if value is None else [value]
        if (rules.get("required") and value is None) or len(values) < rules.get("min_occurs", 0):
            yield f"{where} is missing"
        for each in values:
            if is_dataclass(each):
                yield from schema_problems(each, where)
            elif isinstance(each, str):
                yield from _text_problems(each, rules, where)
            elif isinstance(each, Decimal):
                yield from _number_problems(each, rules, where)


def _text_problems(text: str, rules: Any, where: str) -> Iterator[str]:
    if not rules.get("min_length", 0) <= len(text) <= rules.get("max_length", len(text)):
        yield f"{where} has {len(text)} characters"
    if "pattern" in rules and re.fullmatch(rules["pattern"], text) is None:
        yield f"{where} is not of the form {rules['pattern']}"


def _number_problems(number: Decimal, rules: Any, where: str) -> Iterator[str]:
    _, digits, exponent = number.as_tuple()
    places = -exponent if isinstance(exponent, int) and exponent < 0 else 0
    if len(digits) > rules.get("total_digits", len(digits)) or places > rules.get("fraction_digits", places):
        yield f"{where} has too many digits"
    if number < rules.get("min_inclusive", number):
        yield f"{where} is too small"
