// Decodes PDUs with dcmjs-dimse: a PDU in hexadecimal on each line, and a line of answer. What an SCP says of a PDU that
// arrives on a socket, which here is none: an association comes first, unless the PDU asks for one.
const { EventEmitter } = require("events");
const { Scp, log, version } = require("dcmjs-dimse");

log.silent = true;

class Socket extends EventEmitter {
  constructor() {
    super();
    this.remoteAddress = "127.0.0.1";
    this.said = [];
  }
  write(data) {
    this.said.push(data[0]);
    return true;
  }
  pipe() {}
  setTimeout() {}
  setNoDelay() {}
  end() {}
  destroy() {}
}

class Toy extends Scp {
  associationRequested(association) {
    for (const { id } of association.getPresentationContexts()) {
      association.getPresentationContext(id).setResult(0, "1.2.840.10008.1.2");
    }
    this.sendAssociationAccept();
  }
}

function decode(pdu, associate) {
  const socket = new Socket();
  let refused = null;
  try {
    const scp = new Toy(socket, {});
    scp.on("networkError", (error) => (refused = error.message));
    if (pdu[0] !== 1) {
      socket.emit("data", associate);
    }
    const before = socket.said.length;
    socket.emit("data", pdu);
    if (refused === null && socket.said.slice(before).includes(7)) {
      refused = "A-ABORT";
    }
  } catch (error) {
    refused = error.constructor.name;
  }
  return refused === null ? "= accepted" : `= refused ${refused}`;
}

const lines = require("readline").createInterface({ input: process.stdin });
lines.on("close", () => process.exit(0));
let associate = null;
lines.on("line", (line) => {
  const pdu = Buffer.from(line, "hex");
  associate = associate || pdu;
  console.log(decode(pdu, associate));
});
