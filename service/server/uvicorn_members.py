"""What `service.server.protocol` uses of uvicorn without a promise that it stays.

uvicorn documents none of these members of its `HttpToolsProtocol`. pyproject.toml bounds uvicorn to
the versions whose members were tested; tests/service/server/test_uvicorn_members.py says which one
changed. Each stands here with its use.
"""

METHODS = {  # name → its parameters, and what for
    "_start_asgi_task": (("cycle", "app"), "extended: to know which request is being answered"),
    "_unset_keepalive_if_required": ((), "replaced: a connection has one timer"),
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
    "send_400_response": (("msg",), "replaced: to refuse with the headers of every answer"),
    "timeout_keep_alive_handler": ((), "extended: a connection has one timer"),
}
ATTRIBUTES = {  # of the protocol: name → what for
    "app": "to find the fast path",
    "client": "its address and port, None for a socket of the file system",
    "cycle": "the newest request; the fast path puts its own there",
    "expect_100_continue": "such a request is left to uvicorn",
    "flow": "to know whether the client takes answers",
    "headers": "of the request whose head is being read",
    "loop": "its clock and its timers",
    "parser": "of httptools; replaced to read a head again",
    "pipeline": "the requests that wait for their turn",
    "scope": "of the request whose head is being read",
    "server_state": "the headers of every answer, and the count of requests",
    "timeout_keep_alive": "seconds",
    "timeout_keep_alive_task": "the timer of the connection",
    "transport": "to write answers",
    "url": "of the request whose head is being read",
}
OF_FLOW = {
    "pause_reading": "after a request was refused",
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
    "response_complete": "whether the connection is free",
    "response_started": "whether an error can still be answered",
}
"""Besides these the constant `STATUS_LINE`: status → the first line of an answer."""
