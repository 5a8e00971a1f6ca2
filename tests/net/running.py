# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long something takes, for what must be "at once": a machine that stands still, or is too busy to run anybody, says
nothing of who was waited for."""
import threading
import time

TICK = 0.02


class Running:
    """Seconds in which a thread of this process that wants to run every TICK did."""

    def __init__(self):
        self.lock, self.before, self.total = threading.Lock(), time.monotonic(), 0.0
        threading.Thread(target=self.tick, daemon=True).start()

    def tick(self):
        while True:
            time.sleep(TICK)
            self.seconds()

    def seconds(self):
        with self.lock:
            now = time.monotonic()
            self.total += min(now - self.before, 5 * TICK)
            self.before = now
            return self.total
