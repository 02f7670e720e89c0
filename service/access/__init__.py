"""Who may ask: API keys, how often they may, certificates; each from files that are read again."""
