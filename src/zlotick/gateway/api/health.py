"""Health, metrics and the plain page at ``/``; also writes aiohttp's errors as JSON."""

from __future__ import annotations

import html

import msgspec
from aiohttp import web

from zlotick.gateway.api.responses import HealthReport, Live, NodeHealth, Ready
from zlotick.gateway.http.routes import NEVER_STORED, Handler, Route, json, refused
from zlotick.gateway.protocol.messages import Providers, shown
from zlotick.gateway.status import StatusReporter
from zlotick.model import Origin
from zlotick.telemetry.health import Health, assess
from zlotick.telemetry.metrics import CONTENT_TYPE

_ORIGINS = {
    Origin.LIVE: "Live quotes",
    Origin.DELAYED: "Delayed quotes",
    Origin.END_OF_DAY: "Closing prices",
    Origin.SIMULATED: "Simulated quotes: invented, not of any market",
    Origin.REPLAYED: "Replayed quotes: recorded earlier, not live",
}


class HttpApi:
    """Health, metrics and the page without a board."""

    def __init__(self, reporter: StatusReporter) -> None:
        self._reporter = reporter

    def routes(self) -> list[Route]:
        """Everything but ``/``, which is also the WebSocket. Probes may add parameters of their own."""
        return [
            Route("/health", self.health, "The whole report", HealthReport, (), None, unready=HealthReport),
            Route("/health/live", self.live, "Whether the process runs its loop", Live, (), None),
            Route("/health/ready", self.ready, "Whether quotes can be had", Ready, (), None, unready=Ready),
            Route(
                "/health/node",
                self.node,
                "Whether to send clients here",
                NodeHealth,
                (),
                None,
                unready=NodeHealth,
            ),
            Route("/metrics", self.metrics, "Prometheus text", None, (), None, media=("text/plain",)),
            Route("/api/v1/providers", self.providers, "How the sources are", Providers),
        ]

    async def live(self, _: web.Request) -> web.Response:
        """Liveness: the event loop runs, or there would be no answer."""
        return json({"live": True})

    async def ready(self, _: web.Request) -> web.Response:
        """200, or 503 with the reasons."""
        health = assess(await self._reporter.health_facts())
        return json(health, _code(health))

    async def node(self, _: web.Request) -> web.Response:
        """For load balancers. Stale quotes are no reason: all nodes have the same, and would all be taken out."""
        troubles = self._reporter.node_troubles()
        return json(NodeHealth(not troubles, troubles), 503 if troubles else 200)

    async def health(self, _: web.Request) -> web.Response:
        """The whole report."""
        facts = await self._reporter.health_facts()
        health = assess(facts)
        status = msgspec.to_builtins(await self._reporter.status())
        status.pop("type")
        report = {**msgspec.to_builtins(health), "facts": msgspec.to_builtins(facts), "status": status}
        return json(report, _code(health))

    async def metrics(self, _: web.Request) -> web.Response:
        """Prometheus text of everything that was registered."""
        text = await self._reporter.service.metrics_text()
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE, **NEVER_STORED})

    async def providers(self, _: web.Request) -> web.Response:
        """The state of each provider, in the order in which they are asked."""
        return json(self._reporter.providers())

    async def page(self, request: web.Request) -> web.Response:
        """A page for people who open the port in a browser, where the board was not built."""
        now = self._reporter.service.status()
        text = _PAGE.format(
            origin=html.escape(_ORIGINS[now.origin]),
            delay=f", {now.delay_seconds} seconds behind the exchange" if now.delay_seconds else "",
            sources=html.escape(", ".join(row.name for row in now.providers) or "none configured"),
            market=html.escape(now.market_status),
            interval=f"{now.update_interval:g}",
            url=html.escape(f"{'wss' if request.secure else 'ws'}://{request.host}"),
            version=html.escape(self._reporter.service.version),
        )
        return web.Response(text=text, content_type="text/html", headers=NEVER_STORED)


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The errors of aiohttp itself (404, 405, a bad handshake) in the protocol's form."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        answer = refused(error.status, _in_words(request, error))
        for name in ("Allow", "WWW-Authenticate"):
            if name in error.headers:
                answer.headers[name] = error.headers[name]
        return answer


def _in_words(request: web.Request, error: web.HTTPException) -> str:
    """Aiohttp's own texts name neither the problem nor the remedy."""
    if isinstance(error, web.HTTPNotFound):
        return f"there is nothing at {shown(request.path)}; /api/v1/openapi.json lists what there is, docs/protocol.md explains it"
    return error.text or error.reason


def _code(health: Health) -> int:
    return 200 if health.ready else 503


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>zlotick</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem }}
pre {{ background: #8882; padding: 1rem; overflow-x: auto }}
:root {{ color-scheme: light dark }}
</style>
<h1>zlotick</h1>
<p>A stream of quotes of the Warsaw exchange's small companies.</p>
<p><strong>{origin}</strong>{delay}. Source: {sources}. Market: {market}. One cycle every {interval} s.</p>
<p>The board was left out of this build: <code>make clean install</code> without <code>ZLOTICK_BOARD=skip</code> builds it.</p>
<h2>Connect</h2>
<pre>const ws = new WebSocket('{url}');
ws.onopen = () =&gt; ws.send(JSON.stringify({{type: 'subscribe'}}));
ws.onmessage = (event) =&gt; console.log(JSON.parse(event.data));</pre>
<p><a href="/health">Health</a> · <a href="/metrics">Metrics</a> · version {version}</p>
</html>
"""
