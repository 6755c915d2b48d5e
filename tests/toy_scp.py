"""A toy: an SCP for C-ECHO with ten faults, each of which can be switched on.

    python toy_scp.py PORT [FAULT ...]

It is what the kit has to find faults in: a program as people write them, one connection after the other, that uses
nothing of this project. Without faults it takes whatever comes.
"""

import socket
import sys

FAULTS = (
    "unknown type",
    "short fixed fields",
    "endless items",
    "even context",
    "maximum length",
    "empty PDV",
    "no command field",
    "second associate",
    "foreign title",
    "short abort",
)
KNOWN = {1: "A-ASSOCIATE-RQ", 2: "A-ASSOCIATE-AC", 3: "A-ASSOCIATE-RJ", 4: "P-DATA-TF", 5: "A-RELEASE-RQ"}
KNOWN |= {6: "A-RELEASE-RP", 7: "A-ABORT"}
ABORT = bytes.fromhex("07000000000400000200")
RELEASED = bytes.fromhex("06000000000400000000")


def number(data, order="big"):
    return int.from_bytes(data, order)


def item(kind, value):
    return bytes((kind, 0)) + len(value).to_bytes(2, "big") + value


def element(tag, value):
    return bytes((0, 0)) + tag.to_bytes(2, "little") + len(value).to_bytes(4, "little") + value


class Toy:
    def __init__(self, port, faults):
        self.faults = faults
        self.listener = socket.create_server(("127.0.0.1", port))
        self.is_associated = False

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:  # the listener is closed, and nobody notices
                while True:
                    socket.socketpair()[0].recv(1)
            with connection:
                connection.settimeout(5)
                self.is_associated = False
                try:
                    while (answer := self.answer(*self.read(connection))) is not None:
                        connection.sendall(answer)
                        if answer == ABORT:
                            break
                except OSError:
                    continue

    def read(self, connection):
        header = self.read_bytes(connection, 6)
        return header[0], self.read_bytes(connection, min(number(header[2:6]), 1 << 20))

    def read_bytes(self, connection, count):
        data = b""
        while len(data) < count:
            block = connection.recv(count - len(data))
            if not block:
                raise ConnectionError("the peer has closed the connection")
            data += block
        return data

    def answer(self, kind, body):
        if "unknown type" in self.faults:
            KNOWN[kind]
        if kind == 1:
            return self.associate(body)
        if kind == 4 and self.is_associated:
            return self.data(body)
        if kind == 5 and self.is_associated:
            return RELEASED
        if kind == 7:
            if "short abort" in self.faults:
                print("abort", body[2], body[3])
            return None
        return ABORT

    def associate(self, body):
        if len(body) < 68:
            if "short fixed fields" in self.faults:
                body[67]
            return ABORT
        if self.is_associated:
            if "second associate" in self.faults:
                self.listener.close()
            return ABORT
        if "foreign title" in self.faults:
            body[4:36].decode("ascii")
        results = b""
        for kind, value in self.items(body[68:]):
            if kind == 0x20 and value:
                if "even context" in self.faults and value[0] % 2 == 0:
                    raise ValueError("even")
                results += item(0x21, bytes((value[0], 0, 0, 0)) + item(0x40, b"1.2.840.10008.1.2"))
            if kind == 0x50:
                self.user_information(value)
        self.is_associated = True
        information = item(0x51, (16384).to_bytes(4, "big")) + item(0x52, b"1.2.3")
        answer = body[:68] + item(0x10, b"1.2.840.10008.3.1.1.1") + results + item(0x50, information)
        return b"\2\0" + len(answer).to_bytes(4, "big") + answer

    def items(self, data):
        while len(data) >= 4:
            length = number(data[2:4])
            if "endless items" in self.faults and not length and not 0x10 <= data[0] <= 0x59:
                continue
            yield data[0], data[4 : 4 + length]
            data = data[4 + length :]

    def user_information(self, data):
        for kind, value in self.items(data):
            if kind == 0x51 and "maximum length" in self.faults:
                value[3]

    def data(self, body):
        answers = b""
        while len(body) >= 4:
            length = number(body[:4])
            value, body = body[4 : 4 + length], body[4 + length :]
            if len(value) < 2:
                if "empty PDV" in self.faults:
                    value[1]
                return ABORT
            if value[1] & 1:
                answers += self.command(value[0], value[2:])
        return answers

    def command(self, context, data):
        elements = {}
        while len(data) >= 8:
            length = number(data[4:8], "little")
            elements[number(data[2:4], "little")] = data[8 : 8 + length]
            data = data[8 + length :]
        if "no command field" in self.faults:
            elements[0x100]
        told = element(0x100, b"\x30\x80") + element(0x120, elements.get(0x110, b"\0\0")) + element(0x800, b"\1\1")
        told += element(0x900, b"\0\0")
        pdv = bytes((context, 3)) + element(0, len(told).to_bytes(4, "little")) + told
        return b"\4\0" + (len(pdv) + 4).to_bytes(4, "big") + len(pdv).to_bytes(4, "big") + pdv


if __name__ == "__main__":
    Toy(int(sys.argv[1]), set(sys.argv[2:])).serve()
