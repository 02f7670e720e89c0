"""Access to the service: API keys, rate limits, TLS, CORS, clients' addresses behind proxies."""
