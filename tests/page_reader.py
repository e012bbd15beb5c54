"""A reader of the pages without a browser: Streamlit's own messages over its web socket, hundreds of pages a minute."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

SECONDS = 120.0  # to wait for a page


class Reader:
    """One session of a server, from its first page until it is closed.

    Parameters
    ----------
    url : str
        Of the server, as ``http://127.0.0.1:8501``.
    """

    def __init__(self, url: str) -> None:
        from websockets.sync.client import connect

        address = url.replace("http", "ws", 1) + "/_stcore/stream"
        self.socket = connect(address, origin=url, subprotocols=["streamlit"], max_size=None)  # type: ignore[arg-type, list-item]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def ask(self, page: str, query: str = "") -> None:
        """Ask for a page by its address ("" is the first one), as a click in the navigation does."""
        from streamlit.proto.BackMsg_pb2 import BackMsg

        message = BackMsg()
        message.rerun_script.page_name = page
        message.rerun_script.query_string = query
        self.socket.send(message.SerializeToString())

    def read(self) -> list[Any]:
        """Return what the server sent (``ForwardMsg``) until the page's script had ended."""
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        messages = []
        while True:
            message = ForwardMsg()
            message.ParseFromString(self.socket.recv(SECONDS))
            messages.append(message)
            if message.WhichOneof("type") == "script_finished" and message.script_finished in (
                ForwardMsg.FINISHED_SUCCESSFULLY,
                ForwardMsg.FINISHED_WITH_COMPILE_ERROR,
            ):
                return messages

    def open(self, page: str, query: str = "") -> list[Any]:
        """Ask for a page and read it."""
        self.ask(page, query)
        return self.read()


def titles(messages: list[Any]) -> list[str]:
    """Return the headings among the messages."""
    deltas = [m.delta.new_element for m in messages if m.WhichOneof("type") == "delta"]
    return [e.heading.body for e in deltas if e.WhichOneof("type") == "heading"]
