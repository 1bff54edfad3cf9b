"""The hooks of ``was.rooms``: its section of the config and its part of the status page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from skitai.config import Key, integer, positive, seconds, show_size, size
from skitai.plugins import Metric, counter, gauge, hookimpl
from skitai.services.rooms.house import House, Settings
from skitai.services.rooms.service import RoomService

if TYPE_CHECKING:
    from skitai.interfaces import IInstance

_SECTION = "rooms"


def _house_of(instance: IInstance) -> House:
    def make() -> House:
        return House(lambda: instance.bus, instance.bridge, Settings(**instance.section(_SECTION)))

    house: House = instance.state(House, make)
    return house


@hookimpl
def skitai_config_sections() -> Mapping[str, Mapping[str, Key]]:
    """Declare the limits of rooms."""
    sizes = positive(size)
    return {
        _SECTION: {
            "history": Key(integer(0), 100, "messages of a room that are kept for those who come back"),
            "history_seconds": Key(positive(seconds), 300.0, "how long each of them is kept"),
            "message_max": Key(sizes, 256 * 1024, "the longest message of a room", show_size),
            "data_max": Key(sizes, 4096, "the longest data of a member, as JSON", show_size),
            "members_max": Key(integer(1), 100_000, "members of one room in one worker"),
            "events_heartbeat": Key(
                positive(seconds), 15.0, "a stream of events that is silent so long gets a comment"
            ),
            "events_waiting_max": Key(
                sizes, 1024 * 1024, "events that may wait for a reader before it is cut off", show_size
            ),
        }
    }


@hookimpl
def skitai_services(instance: IInstance) -> Mapping[str, RoomService]:
    """Give ``was.rooms``."""
    return {"rooms": RoomService(_house_of(instance))}


@hookimpl
def skitai_closing(instance: IInstance) -> None:
    """End the streams of events, which would go on for as long as somebody reads."""
    _house_of(instance).close()


@hookimpl
def skitai_status(instance: IInstance) -> Mapping[str, Any]:
    """Show the rooms on the status page."""
    return {"was.rooms": _house_of(instance).statistics()}


@hookimpl
def skitai_metrics(instance: IInstance) -> Sequence[Metric]:
    """Count the rooms: one with members in several workers is there in each of them."""
    house = _house_of(instance).statistics()
    return [
        gauge("skitai_rooms", "Rooms with members in a worker.", house["rooms"]),
        gauge("skitai_room_members", "Members of rooms.", house["members"]),
        gauge("skitai_room_event_streams", "Streams of server-sent events.", house["event_streams"]),
        counter("skitai_room_messages_total", "Messages that a worker got for its rooms.", house["messages"]),
    ]
