"""The undocumented members of uvicorn that `service.server` uses, each with its use.

The constant `STATUS_LINE` is used too: status → the first line of an answer.

A new version of uvicorn may change them. pyproject.toml bounds uvicorn to the versions whose
members were tested, and tests/service/server/test_uvicorn_members.py says which one changed.
"""

METHODS = {  # name → its parameters, and what for
    "_start_asgi_task": (("cycle", "app"), "extended: to know which request is being answered"),
    "_unset_keepalive_if_required": ((), "replaced: a server has one timer"),
    "connection_lost": (("exc",), "extended: to stop what nobody waits for"),
    "connection_made": (("transport",), "extended: to join the packets of an answer"),
    "data_received": (("data",), "replaced: to refuse, and to read a head again"),
    "on_body": (("body",), "extended: to offer a whole request to the fast path"),
    "on_header": (("name", "value"), "replaced: to bound heads, and to ignore trailers"),
    "on_headers_complete": ((), "extended: to check heads before a task begins"),
    "on_message_begin": ((), "extended: to bound what is pipelined"),
    "on_message_complete": ((), "extended: to take a request by the fast path"),
    "on_response_complete": ((), "replaced: it sets no timer for each answer"),
    "on_url": (("url",), "extended: to bound heads"),
    "pause_writing": ((), "extended: to begin nothing for a client that takes nothing"),
    "resume_writing": ((), "extended: to go on"),
    "shutdown": ((), "replaced: to close no connection on which a request is coming"),
}
ATTRIBUTES = {  # of the protocol: name → what for
    "app": "to find the fast path",
    "client": "its address and port, None for a socket of the file system",
    "connections": "all of the server, to bound them",
    "cycle": "the newest request; the fast path puts its own there",
    "expect_100_continue": "such a request is left to uvicorn",
    "flow": "to know whether the client takes answers",
    "headers": "of the request whose head is being read",
    "loop": "its clock and its timers",
    "parser": "of httptools; replaced to read a head again",
    "pipeline": "the requests that wait for their turn",
    "scope": "of the request whose head is being read",
    "server_state": "the headers of every answer, and the count of requests",
    "timeout_keep_alive": "seconds, where the application has no limits of its own",
    "transport": "to write answers",
    "url": "of the request whose head is being read",
}
OF_FLOW = {
    "pause_reading": "where the client takes no answers, sends what nobody wants, or is refused",
    "read_paused": "whether there may be more than was read",
    "resume_reading": "after an answer, and some time after a refusal",
    "write_paused": "whether the client takes answers",
}
OF_SERVER_STATE = {
    "default_headers": "of every answer",
    "total_requests": "counted where uvicorn counts it",
}
OF_CYCLE = {  # of a request; `fast_path.PendingAnswer` has all but the body
    "body": "emptied where the client has left",
    "disconnected": "set where the client has left",
    "keep_alive": "whether the connection stays",
    "message_event": "set where the client has left",
    "more_body": "whether its body has still to come",
    "response_complete": "whether the connection is free",
    "response_started": "whether an error can still be answered",
}
SERVER_METHODS = {  # of its `Server`, as above
    "capture_signals": ((), "extended: to end at SIGHUP too"),
    "handle_exit": (("sig", "frame"), "replaced: to drain"),
    "on_tick": (("counter",), "extended: to go on for the grace period"),
    "shutdown": (("sockets",), "extended: to accept what has connected"),
    "startup": (("sockets",), "extended: to end while it loads"),
}
OF_SERVER = {  # attributes
    "config": "its application",
    "lifespan": "to close what it opened, where it ends while it loads",
    "server_state": "replaced: it tells connections that the server drains",
    "servers": "to stop listening",
    "started": "whether it listens",
    "should_exit": "set by the first signal",
}
OF_CONNECTIONS = {"connections": "to tell them that the server drains"}
