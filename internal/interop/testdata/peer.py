"""One end of an OSDP line, played by libosdp through its public Python binding.

    peer.py cp PORT BAUD ADDRESS [--key HEX] [--enforce]
    peer.py pd -    BAUD ADDRESS [--key HEX] [--enforce] [--install]

The control panel (cp) opens PORT. The peripheral device (pd) makes a pty of its
own and tells its path. What happens is printed, one JSON object a line; orders
are read from standard input the same way, {"do": name, ...}, and the end of the
input ends the program. libosdp is found through PYTHONPATH; nothing of it is
here.
"""

import argparse
import errno
import inspect
import json
import os
import pty
import sys
import termios
import threading
import time
import tty

import osdp

lock = threading.Lock()


def tell(kind, **what):
    with lock:
        print(json.dumps({"kind": kind, **what}, default=lambda b: bytes(b).hex()), flush=True)


class Line(osdp.Channel):
    """Bytes of a descriptor that never waits."""

    def __init__(self, fd):
        super().__init__()
        os.set_blocking(fd, False)
        self.fd = fd

    def read(self, max_bytes):
        try:
            return os.read(self.fd, max_bytes)
        except OSError as e:
            if e.errno in (errno.EAGAIN, errno.EIO):  # EIO: nobody has the pty open
                return b""
            raise

    def write(self, buf):
        try:
            return os.write(self.fd, buf)
        except BlockingIOError:
            return 0

    def flush(self):
        termios.tcflush(self.fd, termios.TCIFLUSH)


def open_port(path, baud):
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    tty.setraw(fd)
    mode = termios.tcgetattr(fd)
    mode[4] = mode[5] = getattr(termios, f"B{baud}")
    termios.tcsetattr(fd, termios.TCSANOW, mode)
    return fd


def watch(end, state):
    """Tells each change of state() until end is set."""
    last = None
    while not end.wait(0.02):
        now = state()
        if now != last:
            tell("state", **now)
            last = now


def flags(args):
    out = []
    if args.enforce:
        out.append(osdp.LibFlag.EnforceSecure)
    if args.install:
        out.append(osdp.LibFlag.InstallMode)
    return out


def about(args, line, **more):
    if "baud_rate" in inspect.signature(osdp.PDInfo).parameters:  # since 3.2.2
        more["baud_rate"] = args.baud
    return osdp.PDInfo(args.address, line, flags=flags(args), **more)


EVENTS = {osdp.Event.CardRead: "card", osdp.Event.KeyPress: "keys", osdp.Event.ManufacturerReply: "mfg", osdp.Event.Status: "status"}
ORDERS = {osdp.Command.LED: "led", osdp.Command.Buzzer: "buzzer", osdp.Command.Output: "output", osdp.Command.Text: "text",
          osdp.Command.Keyset: "keyset", osdp.Command.Status: "status", osdp.Command.Comset: "comset"}
REPORTS = {getattr(osdp.StatusReportType, k): k for k in ("Local", "Input", "Output", "Remote")}


def named(what):
    """An event or command with its codes in words; a key is not repeated."""
    out = dict(what)
    if "event" in out:
        out["event"] = EVENTS.get(out["event"], out["event"])
        if out["event"] == "status":
            out["type"] = REPORTS[out["type"]]
    if "command" in out:
        out["command"] = ORDERS.get(out["command"], out["command"])
        if out["command"] == "keyset":
            out = {"command": "keyset"}
    return out


COMMANDS = {
    "led": lambda o: {"command": osdp.Command.LED, "reader": 0, "led_number": 0, "control_code": 1, "on_count": 1, "off_count": 0,
                      "on_color": o["color"], "off_color": o["color"], "timer_count": 0, "temporary": False},
    "buzzer": lambda o: {"command": osdp.Command.Buzzer, "reader": 0, "control_code": 2, "on_count": 1, "off_count": 1, "rep_count": o["count"]},
    "output": lambda o: {"command": osdp.Command.Output, "output_no": 0, "control_code": o["control"], "timer_count": 0},
    "text": lambda o: {"command": osdp.Command.Text, "reader": 0, "control_code": 1, "temp_time": 0, "offset_row": 1, "offset_col": 1, "data": o["text"]},
    "keyset": lambda o: {"command": osdp.Command.Keyset, "type": 1, "data": bytes.fromhex(o["key"])},
    "status": lambda o: {"command": osdp.Command.Status, "type": getattr(osdp.StatusReportType, o["of"])},
    "mfg": lambda o: {"command": osdp.Command.Manufacturer, "vendor_code": o["vendor"], "data": bytes.fromhex(o["data"])},
}


class Source:
    """A file of bytes to send."""

    def __init__(self, data):
        self.data = data

    def open(self, file_id, size):
        return len(self.data)

    def read(self, size, offset):
        return self.data[offset:offset + size]

    def write(self, data, offset):
        return len(data)

    def close(self, file_id):
        tell("file_closed", id=file_id)


def panel(args, key):
    line = Line(open_port(args.port, args.baud))
    info = about(args, line, scbk=key)
    cp = osdp.ControlPanel([info], log_level=osdp.LogLevel.Warning,
                           event_handler=lambda pd, e: tell("event", **named(e)) or 0)
    cp.start()

    def order(o):
        if o["do"] == "file":
            source = Source(bytes.fromhex(o["data"]))
            cp.register_file_ops(args.address, {"open": source.open, "read": source.read, "write": source.write, "close": source.close})
            sent = cp.submit_command(args.address, {"command": osdp.Command.FileTransfer, "id": 1, "flags": 0})
        elif o["do"] == "identity":
            i = cp.get_pd_id(args.address)
            tell("identity", vendor=i.vendor_code, model=i.model, serial=i.serial_number)
            return
        else:
            sent = cp.submit_command(args.address, COMMANDS[o["do"]](o))
        tell("ordered", order=o["do"], accepted=bool(sent))

    return cp, order, lambda: {"online": cp.is_online(args.address), "secure": cp.is_sc_active(args.address)}


def device(args, key):
    master, slave = pty.openpty()
    tty.setraw(slave)  # kept open: the line outlives its controller
    cap, C = osdp.PDCapabilities, osdp.Capability
    caps = cap([(C.CardDataFormat, 1, 1), (C.LEDControl, 4, 1), (C.AudibleControl, 2, 1), (C.OutputControl, 1, 1),
                (C.ContactStatusMonitoring, 1, 1), (C.TextOutput, 1, 1), (C.Readers, 0, 1)])

    def command(c):
        tell("command", **named(c))
        if c["command"] == osdp.Command.Status:
            return 0, {**c, "report": bytes(2 if c["type"] == osdp.StatusReportType.Local else 1)}
        return 0, None

    info = about(args, Line(master), scbk=key, id=osdp.PdId(1, 2, 0x010203, 0x0A0B0C0D, 0x010000))
    pd = osdp.PeripheralDevice(info, caps, log_level=osdp.LogLevel.Warning, command_handler=command)
    pd.start()
    tell("port", path=os.ttyname(slave))

    def order(o):
        if o["do"] == "card":
            e = {"event": osdp.Event.CardRead, "reader_no": 0, "format": osdp.CardFormat.Wiegand, "direction": 0,
                 "length": o["bits"], "data": bytes.fromhex(o["data"])}
        else:
            e = {"event": osdp.Event.KeyPress, "reader_no": 0, "data": bytes.fromhex(o["data"])}
        tell("ordered", order=o["do"], accepted=bool(pd.submit_event(e)))

    return pd, order, lambda: {"online": bool(pd.is_online()), "secure": bool(pd.is_sc_active())}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("role", choices=["cp", "pd"])
    p.add_argument("port")
    p.add_argument("baud", type=int)
    p.add_argument("address", type=int)
    p.add_argument("--key")
    p.add_argument("--enforce", action="store_true")
    p.add_argument("--install", action="store_true")
    args = p.parse_args()
    key = bytes.fromhex(args.key) if args.key else None
    end = threading.Event()
    peer, order, state = (panel if args.role == "cp" else device)(args, key)
    watcher = threading.Thread(target=watch, args=(end, state))
    watcher.start()
    try:
        for text in sys.stdin:
            try:
                order(json.loads(text))
            except Exception as e:  # told to the test, which judges it
                tell("failed", order=text.strip(), why=repr(e))
    finally:
        end.set()
        watcher.join()
        peer.teardown()
        time.sleep(0.05)


if __name__ == "__main__":
    main()
