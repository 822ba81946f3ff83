"""vafa.toml: what is written loads; what is wrong is said with file, key, what is allowed and what to do."""

import tomllib
from pathlib import Path

import msgspec
import pytest

from node.config import (
    Config,
    ConfigError,
    LimitsSection,
    LogSection,
    NodeSection,
    RaySection,
    StorageSection,
    default_toml,
    load,
    split_address,
)

NAME = "فروشگاهِ «می‌خواهم» متجر"


def toml(**changes: object) -> str:
    arguments = {
        "merchant_id": "bazaar",
        "name": NAME,
        "country": "IR",
        "time_zone": "Asia/Tehran",
        "currency": "IRR",
        "currency_exponent": 0,
        **changes,
    }
    return default_toml(**arguments)  # type: ignore[arg-type]  # as the test gives them


def load_text(directory: Path, text: str) -> Config:
    path = directory / "vafa.toml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def load_changed(directory: Path, line: str, changed: str) -> Config:
    text = toml()
    assert text.count(line) == 1, line
    return load_text(directory, text.replace(line, changed))


def test_the_file_that_init_writes_loads_with_everything_that_was_said(tmp_path: Path) -> None:
    config = load_text(tmp_path, toml(host_names=["node.bazaar.example", "10.0.0.7", "::1"]))
    assert config.merchant.id == "bazaar"
    assert config.merchant.name == NAME
    assert (config.merchant.time_zone, config.merchant.country) == ("Asia/Tehran", "IR")
    assert (config.merchant.currency, config.merchant.currency_exponent) == ("IRR", 0)
    assert config.node.host_names == ("node.bazaar.example", "10.0.0.7", "::1")
    assert config.storage.directory == tmp_path / "data"
    assert config.secrets_directory == tmp_path / "data" / "secrets"


def test_a_key_that_is_left_out_has_the_value_that_the_file_shows(tmp_path: Path) -> None:
    full = load_text(tmp_path, toml())
    short = load_text(tmp_path, toml().partition("[node]")[0])
    assert short == full
    assert full.node == NodeSection()
    assert full.limits == LimitsSection()
    assert full.log == LogSection()
    assert full.ray == RaySection()
    assert full.storage == msgspec.structs.replace(StorageSection(), directory=tmp_path / "data")


def test_every_key_is_in_the_file_with_a_comment_above_it() -> None:
    written = tomllib.loads(toml())
    for section in msgspec.structs.fields(Config):
        assert set(written[section.name]) == set(section.type.__struct_fields__)
    lines = toml().splitlines()
    for number, line in enumerate(lines):
        if " = " in line and not line.startswith("#"):
            assert lines[number - 1].startswith("# "), line
    assert max(map(len, lines)) <= 110


def test_what_is_read_cannot_be_changed(tmp_path: Path) -> None:
    config = load_text(tmp_path, toml())
    with pytest.raises(AttributeError):
        config.limits.queue_per_shard = 1  # type: ignore[misc]  # it is frozen: that is the test


def test_paths_start_at_the_file_wherever_the_process_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "vafa.toml").write_text(toml().replace('"data"', '"../var/کتاب"'), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load(Path("etc/vafa.toml")).storage.directory.resolve() == tmp_path / "var" / "کتاب"
    assert load(Path("etc/vafa.toml")).storage.directory.is_absolute()
    assert load_changed(tmp_path, '"data"', '"/srv/vafa"').storage.directory == Path("/srv/vafa")


def test_the_directory_of_a_coalition_is_looked_for_beside_the_file(tmp_path: Path) -> None:
    config = load_changed(tmp_path, 'directory_file = ""', 'directory_file = "coalition.directory"')
    assert config.coalition.directory_file == str(tmp_path / "coalition.directory")
    assert load_text(tmp_path, toml()).coalition.directory_file == ""


def test_a_file_saved_by_a_windows_editor_loads(tmp_path: Path) -> None:
    (tmp_path / "vafa.toml").write_bytes(b"\xef\xbb\xbf" + toml().replace("\n", "\r\n").encode())
    assert load(tmp_path / "vafa.toml").merchant.name == NAME


@pytest.mark.parametrize(
    ("line", "changed", "key"),
    [
        ('id = "bazaar"', 'id = "Bazaar"', "merchant.id"),
        ('id = "bazaar"', 'id = "bazaar\\n"', "merchant.id"),
        ('id = "bazaar"', 'id = "-bazaar"', "merchant.id"),
        ('id = "bazaar"', 'id = "بازار"', "merchant.id"),
        ('id = "bazaar"', f'id = "{"a" * 41}"', "merchant.id"),
        ('id = "bazaar"', "", "merchant.id"),
        (f'name = "{NAME}"', 'name = "\\u202e"', "merchant.name"),
        (f'name = "{NAME}"', 'name = "  "', "merchant.name"),
        (f'name = "{NAME}"', f'name = "{"ن" * 121}"', "merchant.name"),
        ('country = "IR"', 'country = "UK"', "merchant.country"),
        ('"Asia/Tehran"', '"Asia/Teheran"', "merchant.time_zone"),
        ('"Asia/Tehran"', '"../../etc/passwd"', "merchant.time_zone"),
        ('"Asia/Tehran"', '""', "merchant.time_zone"),
        ('currency = "IRR"', 'currency = "toman"', "merchant.currency"),
        ("currency_exponent = 0", "currency_exponent = 5", "merchant.currency_exponent"),
        ("currency_exponent = 0", "currency_exponent = 0.0", "merchant.currency_exponent"),
        ("currency_exponent = 0", "currency_exponent = false", "merchant.currency_exponent"),
        ('listen = "0.0.0.0:7443"', 'listen = "0.0.0.0"', "node.listen"),
        ('listen = "0.0.0.0:7443"', 'listen = "node.example:7443"', "node.listen"),
        ('listen = "0.0.0.0:7443"', 'listen = "0.0.0.0:65536"', "node.listen"),
        ('listen = "0.0.0.0:7443"', 'listen = "۱۲۷.0.0.1:7443"', "node.listen"),
        ('"0.0.0.0:7444"', '"7444"', "node.enrol_listen"),
        ('"127.0.0.1:9464"', '"0.0.0.0:9464"', "node.metrics_listen"),
        ('"127.0.0.1:9464"', '""', "node.metrics_listen"),
        ("plaintext = false", "plaintext = true", "node.listen"),
        ("plaintext = false", 'plaintext = "false"', "node.plaintext"),
        ('["localhost", "127.0.0.1"]', "[]", "node.host_names"),
        ('["localhost", "127.0.0.1"]', '["10.0.0.256"]', "node.host_names"),
        ('["localhost", "127.0.0.1"]', '["*"]', "node.host_names"),
        ('["localhost", "127.0.0.1"]', '["فروشگاه.ایران"]', "node.host_names"),
        ('["localhost", "127.0.0.1"]', '["localhost", 7]', "node.host_names"),
        ('peer_listen = ""', 'peer_listen = "7445"', "coalition.peer_listen"),
        ('peer_listen = ""', 'peer_listen = "shop.example:7445"', "coalition.peer_listen"),
        ('directory_file = ""', 'directory_file = "\\u0000"', "coalition.directory_file"),
        ("refresh_seconds = 300", "refresh_seconds = 4", "coalition.directory_refresh_seconds"),
        ('directory = "data"', 'directory = ""', "storage.directory"),
        ('directory = "data"', "directory = 7", "storage.directory"),
        ("partitions = 16", "partitions = 0", "storage.partitions"),
        ("partitions = 16", "partitions = 65", "storage.partitions"),
        ("shards = 0", "shards = 17", "storage.shards"),
        ("shards = 0", "shards = -1", "storage.shards"),
        ("shard_pins = []", "shard_pins = [" + '"m", ' * 17 + "]", "ray.shard_pins"),
        ('address = ""', 'address = "ray://host:10001"', "ray.address"),
        ("object_store_bytes = 100000000", "object_store_bytes = 1000", "ray.object_store_bytes"),
        ('temp_directory = ""', f'temp_directory = "/tmp/{"t" * 40}"', "ray.temp_directory"),
        ("queue_per_shard = 8192", "queue_per_shard = 0", "limits.queue_per_shard"),
        ("request_retention_days = 35", "request_retention_days = 30", "limits.request_retention_days"),
        ("lateness_days = 30", "lateness_days = 35", "limits.request_retention_days"),
        ("freshness_seconds = 300", "freshness_seconds = 5", "limits.freshness_seconds"),
        ('level = "info"', 'level = "verbose"', "log.level"),
        ("[log]", "[[log]]", "log"),
    ],
)
def test_a_wrong_value_is_said_with_its_file_key_what_is_allowed_and_what_to_do(
    tmp_path: Path, line: str, changed: str, key: str
) -> None:
    assert line in toml()
    with pytest.raises(ConfigError) as wrong:
        load_text(tmp_path, toml().replace(line, changed, 1))
    message = str(wrong.value)
    assert message.startswith(f"{tmp_path / 'vafa.toml'}: {key}: ")
    assert message.endswith("Change it and start again.")
    allowed = message.partition("Allowed: ")[2]
    assert len(allowed) > len("Change it and start again.") + 10


@pytest.mark.parametrize(
    ("line", "changed", "unknown", "allowed"),
    [
        ("partitions = 16", "partition = 16", "'partition' is not a key of [storage]", "partitions"),
        ("[limits]", "[limit]", "'limit' is not a section", "limits"),
        (
            'id = "bazaar"',
            'id = "bazaar"\nplaintext = true',
            "'plaintext' is not a key of [merchant]",
            "time_zone",
        ),
    ],
)
def test_an_unknown_key_is_refused_and_the_known_ones_are_named(
    tmp_path: Path, line: str, changed: str, unknown: str, allowed: str
) -> None:
    with pytest.raises(ConfigError) as wrong:
        load_changed(tmp_path, line, changed)
    assert unknown in str(wrong.value)
    assert allowed in str(wrong.value).partition("Allowed: ")[2]


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="vafa init"):
        load(tmp_path / "vafa.toml")


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"[merchant", b"merchant = 1", b"", b"id = 'x'\nid = 'y'", b"\0"]
)
def test_a_file_that_is_no_such_configuration_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "vafa.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"vafa\.toml"):
        load(tmp_path / "vafa.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"merchant_id": "My Shop"},
        {"currency_exponent": -1},
        {"time_zone": "Tehran"},
        {"host_names": ["a b"]},
        {"name": ""},
    ],
)
def test_init_writes_no_file_that_run_would_refuse(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        toml(**changes)


@pytest.mark.parametrize("name", ['"quoted" \\ back', "{id} % ${HOME}", "# no comment", "سلام‌دنیا", "متجر 2"])
def test_a_name_is_never_taken_for_toml(tmp_path: Path, name: str) -> None:
    assert load_text(tmp_path, toml(name=name)).merchant.name == name


def test_plaintext_is_possible_on_loopback_when_asked_for_by_name(tmp_path: Path) -> None:
    text = toml().replace("plaintext = false", "plaintext = true").replace("0.0.0.0:7443", "127.0.0.1:7443")
    with pytest.raises(ConfigError, match=r"node\.enrol_listen"):
        load_text(tmp_path, text)
    assert load_text(tmp_path, text.replace("0.0.0.0:7444", "[::1]:7444")).node.plaintext
    assert load_text(tmp_path, text.replace("0.0.0.0:7444", "")).node.plaintext


def test_shards_follow_the_configuration_then_the_pins_then_the_cores(tmp_path: Path) -> None:
    automatic = load_text(tmp_path, toml())
    assert [automatic.shard_count(cores) for cores in (1, 2, 16, 64)] == [1, 1, 8, 16]
    assert 1 <= automatic.shard_count() <= 16
    pinned = load_changed(tmp_path, "shard_pins = []", 'shard_pins = ["a", "b", "c"]')
    assert pinned.shard_count(64) == 3
    assert load_changed(tmp_path, "shards = 0", "shards = 5").shard_count(64) == 5


def test_as_many_pins_as_shards_are_asked_for(tmp_path: Path) -> None:
    text = toml().replace("shards = 0", "shards = 2")
    with pytest.raises(ConfigError, match=r"ray\.shard_pins: 1 pins for 2 shards"):
        load_text(tmp_path, text.replace("shard_pins = []", 'shard_pins = ["a"]'))
    assert load_text(tmp_path, text.replace("shard_pins = []", 'shard_pins = ["a", "b"]')).shard_count() == 2


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("127.0.0.1:7443", ("127.0.0.1", 7443)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("[::1]:65535", ("::1", 65535)),
        ("[0:0:0:0:0:0:0:1]:1", ("::1", 1)),
    ],
)
def test_an_address_is_an_ip_address_and_a_port(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost:1",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:-1",
        "127.0.0.1:65536",
        "::1:80",
        "[::1]",
        "1.2.3:4",
        "127.1:80",
        " 127.0.0.1:80",
        "127.0.0.1:80\n",
        "127.0.0.1:٨٠",
        "[::1%lo]:80",
        "[127.0.0.1:80",
    ],
)
def test_anything_else_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match=r"IP address|IPv[46]|[Oo]ctet"):
        split_address(address)
