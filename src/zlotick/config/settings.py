"""The settings tree: every option typed, documented at its field, with its default.

``zlotick config show`` prints it, ``zlotick config init`` writes it as a file, and the loader
(:mod:`zlotick.config.loader`) reports every problem at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from zlotick.config.alerts import AlertsConfig
from zlotick.config.providers import ProvidersConfig
from zlotick.config.secrets import DefaultSecret, Secret, keep_secret
from zlotick.config.words import ADDRESS, WORDS
from zlotick.dataclassed import Dataclassed

Day = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\d$", extra={WORDS: "a day such as 2018-11-12"})]
Port = Annotated[int, Meta(ge=1, le=65535)]
Name = Annotated[str, Meta(min_length=1)]
ServerMode = Literal["auto", "embedded", "external", "off"]
NodeRole = Literal["ingest", "deliver", "gateway"]

_MODE = (
    "auto: use the server at the configured address, else start one; embedded: always start one; "
    "external: never start one; off: use none"
)


class ServiceConfig(msgspec.Struct, kw_only=True):
    """The service itself."""

    update_interval: Annotated[float, Meta(ge=0.05, le=86400, description="seconds between two cycles")] = 30
    data_dir: Annotated[
        Path,
        Meta(description="where everything is kept (from the working folder), one folder for each profile"),
    ] = Path("data")
    profile: Annotated[
        str,
        Meta(
            pattern="^[a-z0-9_-]{1,32}$",
            description="keeps runs apart: replayed data never mixes with live data",
            extra={WORDS: "1 to 32 lower-case letters, digits, _ or -"},
        ),
    ] = "default"
    roles: Annotated[
        list[NodeRole],
        Meta(
            min_length=1,
            description="what this node does: ingest (fetch quotes), deliver (stores and alerts), gateway (serve clients)",
        ),
    ] = msgspec.field(default_factory=lambda: ["ingest", "deliver", "gateway"])
    node: Annotated[
        str,
        Meta(
            pattern="^$|^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
            description="the name of this node among several; empty: the host's name",
            extra={WORDS: "up to 64 letters, digits, '.', '_' and '-', or empty"},
        ),
    ] = ""
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="how much is logged")
    ] = "info"
    log_format: Annotated[Literal["text", "json"], Meta(description="text for people, json for machines")] = (
        "text"
    )
    log_file: Annotated[
        Path | None, Meta(description="the log file; default: realtime_stream.log in the profile's folder")
    ] = None

    @property
    def home(self) -> Path:
        """The folder of the profile: journal, embedded servers, credentials, log."""
        return self.data_dir.absolute() / self.profile


class QuestDBCopy(msgspec.Struct, kw_only=True):
    """A further QuestDB that gets the same rows: a table ``[[questdb.copies]]``. zlotick does not start it."""

    host: Annotated[Name, Meta(description="its host")] = "localhost"
    port: Annotated[Port, Meta(description="PostgreSQL wire port (queries)")] = 8812
    http_port: Annotated[Port, Meta(description="HTTP port (writes)")] = 9000
    user: Annotated[Name, Meta(description="its user")] = "admin"
    password: Annotated[Secret, Meta(description="its password")] = DefaultSecret("quest")
    database: Annotated[Name, Meta(description="database name")] = "qdb"
    tls_enabled: Annotated[bool, Meta(description="TLS to the server")] = False

    def __post_init__(self) -> None:
        self.password = keep_secret(self.password)


class QuestDBConfig(Dataclassed, msgspec.Struct):
    """Where QuestDB is, and which one to use."""

    host: Annotated[Name, Meta(description="QuestDB host")] = "localhost"
    port: Annotated[Port, Meta(description="PostgreSQL wire port (queries)")] = 8812
    user: Annotated[Name, Meta(description="QuestDB user")] = "admin"
    password: Annotated[
        Secret,
        Meta(description="QuestDB password; an embedded server gets a generated one unless this is set"),
    ] = DefaultSecret("quest")
    database: Annotated[Name, Meta(description="database name")] = "qdb"
    tls_enabled: Annotated[bool, Meta(description="TLS to the server (external servers only)")] = False
    http_port: Annotated[Port, Meta(description="HTTP port (writes, console)")] = 9000
    mode: Annotated[ServerMode, Meta(description=_MODE)] = "auto"
    ttl: Annotated[
        str,
        Meta(
            pattern="^$|^[1-9][0-9]* (DAYS?|WEEKS?|MONTHS?|YEARS?)$",
            description="drop rows older than this, such as '2 YEARS'; empty: never",
            extra={WORDS: "a number and DAYS, WEEKS, MONTHS or YEARS, such as '2 YEARS', or empty"},
        ),
    ] = ""
    jar_path: Annotated[Path | None, Meta(description="an existing questdb.jar (no download)")] = None
    java_path: Annotated[Path | None, Meta(description="an existing java (17 to 25)")] = None
    copies: Annotated[
        list[QuestDBCopy],
        Meta(description="further QuestDBs that get the same rows, each a table [[questdb.copies]]"),
    ] = msgspec.field(default_factory=list)

    def __post_init__(self) -> None:
        self.password = keep_secret(self.password)


class PocketbaseConfig(Dataclassed, msgspec.Struct):
    """Where PocketBase is, and which one to use."""

    url: Annotated[str, ADDRESS, Meta(description="PocketBase address")] = "http://localhost:8090"
    admin_email: Annotated[Name, Meta(description="superuser's e-mail, for the set-up only")] = (
        "admin@example.com"
    )
    admin_password: Annotated[
        Secret,
        Meta(description="superuser's password; an embedded server gets a generated one unless this is set"),
    ] = DefaultSecret("admin123")
    collections: Annotated[list[str] | None, Meta(description="the collections to fill")] = None
    mode: Annotated[ServerMode, Meta(description=_MODE)] = "auto"

    def __post_init__(self) -> None:
        if self.collections is None:
            self.collections = ["stock_data", "market_updates", "alerts"]
        self.admin_password = keep_secret(self.admin_password)


class GatewayConfig(msgspec.Struct, kw_only=True):
    """The WebSocket and HTTP server."""

    host: Annotated[Name, Meta(description="address to listen on; loopback by default")] = "localhost"
    port: Annotated[Port, Meta(description="one port for WebSocket and HTTP")] = 8765
    workers: Annotated[
        int, Meta(ge=1, le=64, description="processes that share the port (Linux); 1: the service's own")
    ] = 1
    max_sessions: Annotated[
        int, Meta(ge=1, le=1_000_000, description="connections at once; further ones get 503")
    ] = 20_000
    max_message_bytes: Annotated[int, Meta(ge=256, le=16_777_216, description="largest client message")] = (
        16_384
    )
    session_buffer_bytes: Annotated[
        int,
        Meta(
            ge=4096,
            description="data that may wait for one client (slow consumer); above it only the newest values are kept",
        ),
    ] = 65_536
    slow_timeout: Annotated[
        float, Meta(gt=0, description="seconds that a slow client may stay above session_buffer_bytes")
    ] = 30
    ping_interval: Annotated[float, Meta(gt=0, description="seconds between keepalive pings")] = 20
    shutdown_timeout: Annotated[
        float, Meta(ge=0, description="seconds that sessions have to end at a stop")
    ] = 2
    drain_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=300,
            description="seconds before a stop in which load balancers may notice (/health/node is 503) and clients are still served",
        ),
    ] = 0
    auth: Annotated[
        Literal["none", "tokens", "pocketbase"],
        Meta(description="who gets in: anyone, holders of a token (zlotick token), users of PocketBase"),
    ] = "none"
    auth_timeout: Annotated[
        float, Meta(gt=0, description="seconds that a new session has to send its token")
    ] = 10
    origins: Annotated[
        list[str],
        Meta(description="web pages of other hosts that may connect, such as https://example.org"),
    ] = []
    allow: Annotated[
        list[str], Meta(description="networks that may connect, such as 192.168.0.0/16; empty: all")
    ] = []
    deny: Annotated[
        list[str], Meta(description="networks that may not connect, even if gateway.allow has them")
    ] = []
    trusted_proxies: Annotated[
        list[str], Meta(description="networks of proxies whose X-Forwarded-For is trusted")
    ] = []
    max_sessions_per_address: Annotated[
        int, Meta(ge=1, le=1_000_000, description="connections at once from one address (not loopback)")
    ] = 100
    connections_per_second: Annotated[
        float, Meta(gt=0, description="new connections a second from one address (not loopback)")
    ] = 10
    requests_per_second: Annotated[
        float, Meta(gt=0, description="messages a second from one client; further ones get error 429")
    ] = 10
    requests_burst: Annotated[
        int, Meta(ge=1, description="messages at once from a client that has been quiet")
    ] = 20
    tls_certificate: Annotated[
        Path | None,
        Meta(
            description="PEM file of the certificate and its chain; with it the port is wss:// and https://"
        ),
    ] = None
    tls_key: Annotated[Path | None, Meta(description="PEM file of the certificate's private key")] = None
    insecure: Annotated[
        bool, Meta(description="listen beyond this machine although auth or TLS is missing")
    ] = False


class JournalConfig(msgspec.Struct, kw_only=True):
    """Where the journal is, and how long it keeps its entries."""

    kind: Annotated[
        Literal["sqlite", "redis"],
        Meta(description="sqlite: a file, one machine; redis: Redis or Valkey, shared by several nodes"),
    ] = "sqlite"
    url: Annotated[
        Secret,
        Meta(
            description="the server of kind redis: redis://[user:password@]host:port/database, or rediss:// with TLS"
        ),
    ] = DefaultSecret("")
    keep_days: Annotated[float, Meta(gt=0, description="entries older than this may be deleted")] = 7
    keep_mb: Annotated[int, Meta(ge=1, description="above this size the oldest entries may be deleted")] = 512
    budget_mb: Annotated[
        int,
        Meta(
            ge=1,
            description="above this size they are deleted even if a reader still needs them, which is logged as an error",
        ),
    ] = 4096


class RabbitMQConfig(msgspec.Struct, kw_only=True):
    """Distribution to other programs through RabbitMQ."""

    mode: Annotated[
        Literal["off", "external"],
        Meta(description="external: publish every batch to the broker; off: do not"),
    ] = "off"
    url: Annotated[
        Secret, Meta(description="the broker: amqp://user:password@host:port/vhost, or amqps:// with TLS")
    ] = DefaultSecret("amqp://guest:guest@localhost:5672/")
    exchange: Annotated[
        str,
        Meta(
            pattern="^[A-Za-z0-9_-]{1,32}$",
            description="the topic exchange, and the first word of each routing key",
            extra={WORDS: "1 to 32 letters, digits, _ or -"},
        ),
    ] = "zlotick"
    stream: Annotated[
        bool,
        Meta(description="also keep the batches of 7 days in a stream queue, for programs that come later"),
    ] = False


class UniverseConfig(msgspec.Struct, kw_only=True):
    """Which stocks are followed."""

    index: Annotated[Literal["swig80", "wig20", "mwig40"], Meta(description="the packaged index")] = "swig80"
    file: Annotated[Path | None, Meta(description="your own CSV instead (symbol,name,isin,as_of)")] = None
    extra: Annotated[list[str], Meta(description="further tickers to accept")] = []


class MarketConfig(msgspec.Struct, kw_only=True):
    """Session days that the exchange's rules do not give."""

    extra_closed: Annotated[
        list[Day], Meta(description="session days on which GPW is closed, such as 2018-11-12")
    ] = []
    extra_open: Annotated[
        list[Day], Meta(description="days on which GPW trades although its rules say it is closed")
    ] = []


class Settings(msgspec.Struct, kw_only=True):
    """Everything that can be configured."""

    service: ServiceConfig = msgspec.field(default_factory=ServiceConfig)
    questdb: QuestDBConfig = msgspec.field(default_factory=QuestDBConfig)
    pocketbase: PocketbaseConfig = msgspec.field(default_factory=PocketbaseConfig)
    gateway: GatewayConfig = msgspec.field(default_factory=GatewayConfig)
    journal: JournalConfig = msgspec.field(default_factory=JournalConfig)
    rabbitmq: RabbitMQConfig = msgspec.field(default_factory=RabbitMQConfig)
    market: MarketConfig = msgspec.field(default_factory=MarketConfig)
    universe: UniverseConfig = msgspec.field(default_factory=UniverseConfig)
    providers: ProvidersConfig = msgspec.field(default_factory=ProvidersConfig)
    alerts: AlertsConfig = msgspec.field(default_factory=AlertsConfig)
