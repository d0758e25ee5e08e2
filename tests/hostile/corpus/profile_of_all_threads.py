# {"kind": "assert", "expect": "wrong_answer|runtime_error", "limits": {"wall_seconds": 6}}
import sys, threading
def trace(frame, event, arg):
    for name in list(frame.f_locals):
        if 'expected' in name: frame.f_locals[name] = 0
    return trace
sys.settrace(trace); sys.setprofile(trace); threading.settrace(trace); threading.setprofile(trace)
if hasattr(sys, 'monitoring'):
    sys.monitoring.use_tool_id(0, 'x'); sys.monitoring.set_events(0, 0xFF)
def double(x): return 0
