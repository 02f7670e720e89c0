"""`python -m service.healthcheck`: exit code 0 if the service of this container is ready.

Port and scheme come from the environment variables of the settings. Only Python's standard library
and Fanlight are needed. The certificate is not verified.
"""

import os
import ssl
import sys
import urllib.request

from service.setting_values.environment import PREFIX

TIMEOUT = 2.5  # seconds


def address() -> str:
    """Return the URL at which the service answers whether it is ready."""
    port = os.environ.get(f"{PREFIX}PORT", "")
    scheme = "https" if os.environ.get(f"{PREFIX}TLS_CERTIFICATE") else "http"
    return f"{scheme}://127.0.0.1:{port if port.isdigit() else 8000}/health/ready"


def main() -> int:
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    try:
        urllib.request.urlopen(address(), timeout=TIMEOUT, context=trusting)  # noqa: S310
    except OSError as error:
        print(f"{address()}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
