"""Block the network in every process the tests start (this folder is on their PYTHONPATH)."""

import socket


def _refuse(*_: object, **__: object) -> None:
    raise RuntimeError("the tests may not open network connections")


socket.socket.connect = _refuse  # type: ignore[method-assign]
socket.getaddrinfo = _refuse
