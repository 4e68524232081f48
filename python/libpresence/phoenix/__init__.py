"""Serves the official `phoenix` JavaScript clients: Channels over WebSocket, with presence_state and presence_diff.

    endpoint = Endpoint(users, connect=auth)
    @endpoint.channel("room:*")
    class Room(Channel): ...
    app.mount("/socket", endpoint)      # ASGI; aiohttp: endpoint.aiohttp_handler

Everything here runs on the loop the Presence was started on. Since 0.2.
"""

from ._channel import Channel, Refuse
from ._endpoint import Endpoint
from ._limits import Limits
from ._socket import Socket
from ._supabase import SupabaseChannel

__all__ = ["Channel", "Endpoint", "Limits", "Refuse", "Socket", "SupabaseChannel"]
