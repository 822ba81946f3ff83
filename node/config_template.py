"""The configuration file as `vafa init` writes it; see `node.config`.

The comment above each key says what is allowed, and errors quote it: one text for both.
"""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace


class CardsSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """With which keys chip cards are verified, and what a tap alone may spend, in units."""

    key_store: str = ""
    passphrase_file: str = ""
    tap_transaction_units: Annotated[int, Meta(ge=0, le=1 << 53)] = 0
    tap_day_units: Annotated[int, Meta(ge=0, le=1 << 53)] = 0

    def beside(self, base: Path) -> "CardsSection":
        """The same with files named from the directory `base`; a token's name stays as it is."""
        is_file = self.key_store and not self.key_store.startswith("pkcs11:")
        return replace(
            self,
            key_store=str(base / self.key_store) if is_file else self.key_store,
            passphrase_file=self.passphrase_file and str(base / self.passphrase_file),
        )


TEMPLATE = """\
# vafa.toml: what this installation of Vafa is. Read once at start: restart the node after a change.

[merchant]
# Short name of the merchant in certificates and books: 1 to 40 of a-z, 0-9 and hyphen, not starting
# with a hyphen. Fixed when the node is made.
id = {id}
# The name that members see, in any script: 1 to 120 letters.
name = {name}
# ISO 3166 code of the country whose phone numbers tills type without a country code, such as IR.
country = {country}
# Language of receipt texts where the programme has several, as a BCP 47 tag such as fa.
language = {language}
# IANA time zone in which the merchant's days end, such as Asia/Tehran.
time_zone = {time_zone}
# ISO 4217 code of the currency at the till, such as IRR or EGP.
currency = {currency}
# Decimals of an amount in it, 0 to 4: amounts are whole numbers of the smallest unit. The rial is
# written with 0 or 2; say which the tills use.
currency_exponent = {currency_exponent}

[node]
# IP address and port for tills, gateways, staff and feeds. Mutual TLS: a client certificate is
# demanded. Port 0 takes any free one.
listen = "0.0.0.0:7443"
# IP address and port where a terminal without certificate trades its one-time code for one, under
# the server's certificate only. "" closes it.
enrol_listen = "0.0.0.0:7444"
# Loopback IP address and port of the Prometheus metrics, which are served without TLS.
metrics_listen = "127.0.0.1:9464"
# true turns TLS off, for experiments on this machine only: listen and enrol_listen must be loopback.
plaintext = false
# DNS names and IP addresses by which tills reach this node, 1 to 32; the server's certificate names
# them. ASCII: a Persian or Arabic domain in its xn-- form.
host_names = {host_names}

[storage]
# Directory of the books and the secrets; a relative path starts at this file.
directory = "data"
# Parts of the books, 1 to 64. Fixed when the node is made.
partitions = 16
# Processes that share the partitions, at most as many as there are partitions.
# 0 = one for each pin in shard_pins, or without pins one for two cores: the gateway needs the other.
shards = 0

[ray]
# "" = a private Ray on this machine; "host:port" of a running cluster, or "auto", places shards there.
address = ""
# For each shard in order, the custom Ray resource of the machine that holds its directory, one pin
# for each shard. [] = all on this machine.
shard_pins = []
# Shared memory of the private Ray in bytes, 78643200 (75 MiB) or more. Batches are small.
object_store_bytes = 100000000
# Directory of the private Ray's sockets and logs, at most 40 bytes long. "" = one of its own in the
# system's temporary directory.
temp_directory = ""

[limits]
# Commands that may wait for one shard, 1 to 1000000; beyond it tills are told to come back.
queue_per_shard = 8192
# Commands in one synced write of a shard, 1 to 10000.
batch_commands = 1024
# Accounts that a shard keeps in memory, 1 to 10000000.
cached_accounts_per_shard = 20000
# Days for which an answer is kept for a till that asks again, 1 to 400 and longer than lateness_days.
# An older request is refused, never executed again.
request_retention_days = 35
# Days by which a till that was offline may post late, 0 to 365. What counted towards a daily cap is kept
# for 60 days: a sale further behind a member's newest brings nothing by rules with a daily cap.
lateness_days = 30
# How far ahead a till's clock may run, in seconds, 10 to 3600; a request from further on is refused.
freshness_seconds = 300

[coalition]
# IP address and port where partners' nodes dial this one, with mutual TLS by the authorities that the
# coalition's directory names. "" = this node only dials, as it must behind NAT.
peer_listen = ""
# File with the coalition's directory as the operator publishes it, looked at for a newer version; a
# relative path starts at this file. "" = none: partners hand newer ones over, or `vafa join --directory`.
directory_file = ""
# Seconds between two looks for a newer directory, in the file and at partners, 5 to 86400.
directory_refresh_seconds = 300
# How members get the codes with which they agree to a spend at a partner's till: "none" (they get none),
# "console" (printed, for a demonstration), or "file".
message_gateway = "none"
# With "file": where messages are appended, a JSON object a line, for a program that sends them; a relative
# path starts at this file.
message_file = "messages.jsonl"

[cards]
# The key store with this merchant's verification keys for chip cards: a file, relative to this one, or
# pkcs11:token=LABEL?module-path=/path. "" = cards are numbers only, and prove nothing.
key_store = ""
# A private file (0600) whose first line is the store's passphrase or PIN.
passphrase_file = ""
# The most units that a tap without conversation may spend in one go, 0 or more. 0 = none.
tap_transaction_units = 0
# The most units that one card's taps may spend in a local day, 0 or more. 0 = none.
tap_day_units = 0

[log]
# debug, info, warning or error.
level = "info"
# json, one object a line, or console, for people. Logs hold no personal data.
format = "json"
"""
