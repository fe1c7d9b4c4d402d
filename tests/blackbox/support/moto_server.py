# SPDX-License-Identifier: MIT
"""moto's server, one request at a time: its threads share dictionaries without a lock, and a test
that plays many moments at once got 'dictionary changed size during iteration'. Its options."""

import threading

from moto import server


class OneAtATime(server.DomainDispatcherApplication):
    turn = threading.Lock()  # not "lock": moto has one of that name

    def __call__(self, environ, start_response):
        with self.turn:
            return list(super().__call__(environ, start_response))


if __name__ == "__main__":
    server.DomainDispatcherApplication = OneAtATime
    server.main()
