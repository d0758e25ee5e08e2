# {"kind": "assert", "expect": "accepted", "tests": "assert double(2) == 4  # needle-in-the-tests"}
import gc, os, select, sys
KEY = ["ne", "edle-in-the"]
found = []
for fd in range(0, 64):
    try:
        if select.select([fd], [], [], 0)[0] and "".join(KEY).encode() in os.read(fd, 100000): found.append(f"read {fd}")
        if "".join(KEY).encode() in os.pread(fd, 100000, 0): found.append(f"pread {fd}")
    except OSError: pass
def double(x):
    frame, texts = sys._getframe(), []
    while frame: texts.append(repr(frame.f_globals) + repr(frame.f_locals)); frame = frame.f_back
    texts += [o for o in gc.get_objects() if isinstance(o, str)]
    if found or any("".join(KEY) in text for text in texts): raise RuntimeError(f"ESC: read the tests {found}")
    return 2 * x
