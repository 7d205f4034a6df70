"""What all tests need."""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background, this process and all that it starts would not hear Ctrl-C, and some tests press it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
