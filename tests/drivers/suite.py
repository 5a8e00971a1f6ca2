#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""suite.py [NAME...]: runs the checks in the order of this list; started by run.sh."""
import os
import sys

from core import Suite
import checks_identity
import checks_files
import checks_run
import checks_grants
import checks_sockets
import checks_display
import checks_home
import checks_terminal
import checks_life
import checks_lifecycle
import checks_payloads
import checks_plug
import checks_usb
import transcript
if os.environ.get("VM_IMAGE"):
    import checks_image

sys.exit(Suite().main(sys.argv[1:]))
