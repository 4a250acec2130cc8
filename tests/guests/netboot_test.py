#!/usr/bin/python3
"""iPXE from a CD-ROM: an address by its own driver for virtio, and Debian's installer from the network, to its first
question."""
import contextlib
import functools
import http.server
import threading
import unittest

import guest
from firmware_case import FirmwareCase

IPXE = guest.GUESTS / "ipxe/usr/lib/ipxe/ipxe.iso"
INSTALLER = (guest.GUESTS / "debian-installer-12-netboot-amd64/usr/lib/debian-installer/images/12/amd64/text"
             / "debian-installer/amd64")
HOST = "10.0.2.2"  # from inside a network of --net user
# On the screen as text, without a driver for its pictures.
SCRIPT = """#!ipxe
kernel linux vga=normal nomodeset fb=false initrd=initrd.gz --- quiet
initrd initrd.gz
boot
"""


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/boot.ipxe":
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Length", str(len(SCRIPT)))
        self.end_headers()
        self.wfile.write(SCRIPT.encode())

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def web_server(folder):
    """Serves a folder and SCRIPT on the loopback interface; its port."""
    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


class NetbootTest(FirmwareCase):
    def ipxe(self, memory="64M"):
        """To the command line of iPXE, with an address."""
        machine = self.start("--cdrom", IPXE, "--net", "user", memory=memory)
        machine.expect("Press Ctrl-B for the iPXE command line")
        machine.send("\x02")
        machine.expect("iPXE> ")
        self.type_slowly("dhcp\n")
        machine.expect(r"Configuring \(net0 02:56:52:00:00:00\)\.+ ok")
        machine.expect("iPXE> ")
        return machine

    def test_ipxe_gets_an_address(self):
        self.ipxe()
        self.type_slowly("route\n")
        self.expect_screen("net0: 10.0.2.15/255.255.255.0 gw 10.0.2.2")
        self.type_slowly("ifstat net0\n")
        self.expect_screen("using virtio-net on 0000:00:", "[Link:up, TX:")
        self.assertEqual(self.machine.errors(), "")

    @unittest.skipIf(guest.ENGINE == "interpreter", "takes minutes there")
    def test_debians_installer_asks_its_first_question(self):
        with web_server(INSTALLER) as port:
            machine = self.ipxe("1G")
            self.type_slowly(f"chain http://{HOST}:{port}/boot.ipxe\n")
            machine.expect(r"^linux\.\.\..* ok")
            # SeaBIOS holds the last character back until more follows or its timer ticks: of "ok", the
            # kernel may leave it no time for more than the "o".
            machine.expect(r"^initrd\.gz\.\.\..* o")
            screen = self.expect_screen("Select a language", "English              -  English",
                                        seconds=guest.BOOT_SECONDS)
        self.assertIn("┌───────────────────────┤ [!!] Select a language ├────────────────────────┐", screen)
        self.assertIn("<Tab> moves; <Space> selects; <Enter> activates buttons", screen)
        self.assertEqual(machine.errors(), "")


if __name__ == "__main__":
    guest.skip_unless_engine_runs()
    unittest.main(verbosity=2)
