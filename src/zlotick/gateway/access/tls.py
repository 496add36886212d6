"""TLS of the gateway's port: certificate and key are files that a SIGHUP reloads."""

from __future__ import annotations

import ssl
from pathlib import Path

from zlotick.errors import GatewayError


class Certificate:
    """The files, and the TLS context of new connections. Reads files: call it in a thread."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises :class:`GatewayError` that names the setting and the remedy."""
        self._certificate, self._key = certificate, key
        self._current = self._fresh()
        self.context = self._fresh()
        # Called in each handshake, also without SNI.
        self.context.sni_callback = self._use_current

    def reload(self) -> None:
        """Use the current content of the files for new connections; open connections are not affected.

        Raises :class:`GatewayError` when the files are bad; the old certificate stays in use then.
        """
        self._current = self._fresh()

    def _use_current(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        connection.context = self._current

    def _fresh(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        self._load(context)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        _readable("gateway.tls_certificate", self._certificate)
        _readable("gateway.tls_key", self._key)
        try:
            context.load_cert_chain(self._certificate, self._key, password=_refuse_passphrase)
        except _Encrypted:
            raise GatewayError(
                f"gateway.tls_key {self._key}: it is encrypted; a service cannot ask for a passphrase: "
                "store the key without one (openssl pkey -in KEY -out PLAIN), readable by this user only"
            ) from None
        except (ssl.SSLError, OSError) as error:
            raise self._explained(error) from error

    def _explained(self, error: OSError) -> GatewayError:
        if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
            return GatewayError(
                f"gateway.tls_key {self._key}: it is not the key of gateway.tls_certificate {self._certificate}"
            )
        return GatewayError(
            f"gateway.tls_certificate {self._certificate}, gateway.tls_key {self._key}: not a certificate and its key "
            f"in PEM form ({getattr(error, 'reason', None) or error}); the certificate's file begins with "
            "-----BEGIN CERTIFICATE-----, the key's with -----BEGIN PRIVATE KEY-----"
        )


class _Encrypted(Exception):
    """The key has a passphrase."""


def _refuse_passphrase() -> str:
    raise _Encrypted


def _readable(setting: str, path: Path) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise GatewayError(f"{setting} {path}: cannot be read ({error.strerror or error})") from error
