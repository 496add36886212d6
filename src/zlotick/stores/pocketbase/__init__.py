"""PocketBase: the latest value of each stock, the market at a glance, alerts and users.

``connector`` is what others use, and ``standings`` keeps its records honest; below them ``setup`` makes a server ready, ``rows`` turns quotes into records,
and ``api`` speaks HTTP. Facts of PocketBase 0.40.6, measured on the real server.
"""

from zlotick.stores.pocketbase.api import Rejected
from zlotick.stores.pocketbase.connector import PocketbaseConnector
from zlotick.stores.pocketbase.standings import StandingsTask

__all__ = ["PocketbaseConnector", "Rejected", "StandingsTask"]
