"""As much of a VNC client (RFC 6143) as a test needs: pictures as they are, keys and a pointer."""
import socket
import struct
import time


class VncClient:
    def __init__(self, port, seconds=60):
        deadline = time.monotonic() + seconds
        while True:
            try:
                self._socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
                break
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        self._take(12)
        self._socket.sendall(b"RFB 003.008\n")
        methods = self._take(self._take(1)[0])
        assert 1 in methods, methods  # no password
        self._socket.sendall(b"\x01")
        assert self._take(4) == bytes(4)
        self._socket.sendall(b"\x01")  # others may stay
        self.width, self.height = struct.unpack(">HH", self._take(4))
        self._take(16)
        self.name = self._take(struct.unpack(">I", self._take(4))[0]).decode()
        # 32 bits a dot, little endian, red in the lowest byte; raw pictures, new sizes are told.
        self._socket.sendall(struct.pack(
            ">BxxxBBBBHHHBBBxxx", 0, 32, 24, 0, 1, 255, 255, 255, 0, 8, 16))
        self._socket.sendall(struct.pack(">BxHii", 2, 2, 0, -223))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def _take(self, count):
        data = b""
        while len(data) < count:
            more = self._socket.recv(count - len(data))
            if not more:
                raise ConnectionError("the VNC server went away")
            data += more
        return data

    def press(self, *keysyms):
        """All of them at once, the first the longest."""
        for down, order in ((1, keysyms), (0, keysyms[::-1])):
            for keysym in order:
                self._socket.sendall(struct.pack(">BBxxI", 4, down, keysym))

    def point(self, x, y, buttons=0):
        self._socket.sendall(struct.pack(">BBHH", 5, buttons, x, y))

    def picture(self):
        """The whole screen: (width, height, four bytes for each dot)."""
        while True:
            size = (self.width, self.height)
            self._socket.sendall(struct.pack(">BBHHHH", 3, 0, 0, 0, *size))
            dots = bytearray(size[0] * size[1] * 4)
            assert self._take(1) == b"\0"
            for _ in range(struct.unpack(">xH", self._take(3))[0]):
                x, y, width, height, encoding = struct.unpack(">HHHHi", self._take(12))
                if encoding == -223:
                    self.width, self.height = width, height
                    continue
                rows = self._take(width * height * 4)
                for row in range(height):
                    at = ((y + row) * size[0] + x) * 4
                    dots[at : at + width * 4] = rows[row * width * 4 : (row + 1) * width * 4]
            if size == (self.width, self.height):
                return *size, bytes(dots)
