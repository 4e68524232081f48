"""Who is in a room, with Django under ASGI: views ask, browsers with the official `phoenix` client are served beside it.

    pip install libpresence django uvicorn websockets
    LIBPRESENCE_LISTEN=127.0.0.1:7946 uvicorn app:application --port 8000
    LIBPRESENCE_JOIN=127.0.0.1:7946   uvicorn app:application --port 8001        # a second server: the same rooms

In a project of its own, `application` is your asgi.py, and the rest a module it imports.
"""

import os

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.signing import BadSignature, Signer
from django.http import JsonResponse
from django.urls import path

from libpresence import Presence
from libpresence.phoenix import Channel, Endpoint, Refuse

if not settings.configured:
    settings.configure(
        ROOT_URLCONF=__name__,
        SECRET_KEY=os.environ.get("SECRET_KEY", "only-for-trying-it-out"),
        ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    )

users = Presence(env=True)  # options from LIBPRESENCE_<OPTION>


async def who_is_there(request, room):
    return JsonResponse(await users.list(f"room:{room}"))


async def token(request, name):
    """What a page gives its client: new Socket("/socket", {params: {token}}). A real site signs request.user here."""
    return JsonResponse({"token": Signer().sign(name)})


urlpatterns = [path("rooms/<slug:room>", who_is_there), path("token/<slug:name>", token)]


def connect(params, headers):
    try:
        return {"name": Signer().unsign(params.get("token", ""))}
    except BadSignature:
        raise Refuse("no token of ours") from None


endpoint = Endpoint(users, connect)


@endpoint.channel("room:*")
class Room(Channel):
    async def on_join(self, topic, params, socket):
        socket.track(socket.assigns["name"], {"status": "online"})

    async def on_event(self, event, payload, socket):
        if event != "status":
            raise Refuse(f"unknown event {event}")
        socket.update(socket.assigns["name"], payload)
        return {}


django = get_asgi_application()


async def application(scope, receive, send):
    """WebSockets and the start and stop of the server are the endpoint's, requests are Django's."""
    await (django if scope["type"] == "http" else endpoint)(scope, receive, send)
