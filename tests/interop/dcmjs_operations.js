// What takes more than one request after the other, with dcmjs-dimse: several requests outstanding, C-CANCEL, retrieval,
// N-EVENT-REPORT. Run as `node dcmjs_operations.js scu SCENARIO HOST PORT DIRECTORY`, which prints what happens, or as
// `node dcmjs_operations.js scp PORT FILE DESTINATION_PORT`, which retrieves always the same file.
const net = require("net");
const path = require("path");
const { Client, Dataset, Scp, Server, association, constants, requests, responses } = require("dcmjs-dimse");
const { PresentationContextResult, Status, TransferSyntax } = constants;

const COMMITMENT = "1.2.840.10008.1.20.1";
const COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1";
const WINDOW = 8;
const SYNTAXES = [TransferSyntax.ImplicitVRLittleEndian, TransferSyntax.ExplicitVRLittleEndian];
const study = (id) => requests.CFindRequest.createStudyFindRequest({ PatientID: String(id) });
const event = () => {
  const report = new requests.NEventReportRequest(COMMITMENT, COMMITMENT_INSTANCE, 1);
  report.setDataset(new Dataset({ TransactionUID: "1.2.3" }));
  return report;
};

function answered(Response, request, status, elements) {
  const response = Response.fromRequest(request);
  if (elements) response.setDataset(new Dataset(elements));
  response.setStatus(status);
  return response;
}

// A requestor: dcmjs-dimse's own client sends one request after the other, whatever it has negotiated.
class Requestor extends Scp {
  constructor(socket, scenario) {
    super(socket, {});
    this.scenario = scenario;
    this.outstanding = 0;
    this.on("associationAccepted", () => scenario.start(this));
    this.on("associationReleaseResponse", () => socket.end());
  }

  ask(request, onResponse = () => {}) {
    this.outstanding++;
    request.on("response", (response) => {
      const dataset = response.getDataset();
      console.log(`said ${response.getStatus()} ${dataset ? dataset.getElement("PatientID") : "-"}`);
      onResponse(response);
      if (response.getStatus() !== Status.Pending) this.finish();
    });
    this.sendRequests(request);
  }

  finish() {
    if (--this.outstanding === 0) this.sendAssociationReleaseRequest();
  }

  cStoreRequest(request, callback) {
    const file = path.join(this.scenario.directory, "retrieved.dcm");
    request.getDataset().toFile(file, () => callback(answered(responses.CStoreResponse, request, Status.Success)));
  }

  nEventReportRequest(request, callback) {
    console.log(`reported ${request.getEventTypeId()} ${request.getDataset().getElement("TransactionUID")}`);
    callback(answered(responses.NEventReportResponse, request, Status.Success));
    this.finish();
  }
}

const SCENARIOS = {
  window: {
    needs: [study(0)],
    start: (requestor) => {
      for (let number = 0; number < WINDOW; number++) requestor.ask(study(number));
    },
  },
  cancel: {
    needs: [study(0)],
    start: (requestor) => {
      const find = study("cancel");
      let isCancelled = false;
      requestor.ask(find, () => {
        if (!isCancelled) requestor.sendCancel(find);
        isCancelled = true;
      });
    },
  },
  commitment: {
    needs: [event()],
    start: (requestor) => {
      requestor.outstanding++; // the report
      const request = new requests.NActionRequest(COMMITMENT, COMMITMENT_INSTANCE, 1);
      request.setDataset(new Dataset({ TransactionUID: "1.2.3" }));
      requestor.ask(request);
    },
  },
  report: { needs: [event()], start: (requestor) => requestor.ask(event()) },
  get: {
    needs: [requests.CGetRequest.createStudyGetRequest("1.2.3")],
    start: (requestor) => requestor.ask(requests.CGetRequest.createStudyGetRequest("1.2.3")),
  },
  move: {
    needs: [requests.CMoveRequest.createStudyMoveRequest("DEST", "1.2.3")],
    start: (requestor) => requestor.ask(requests.CMoveRequest.createStudyMoveRequest("DEST", "1.2.3")),
  },
};

function scu(name, host, port, directory) {
  const scenario = { ...SCENARIOS[name], directory };
  const socket = net.connect({ host, port: Number(port) });
  const requestor = new Requestor(socket, scenario);
  const offer = new association.Association("DCMJS", "SCP");
  for (const request of scenario.needs) offer.addPresentationContextFromRequest(request, SYNTAXES);
  offer.setMaxAsyncOpsInvoked(WINDOW);
  offer.setMaxAsyncOpsPerformed(WINDOW);
  offer.setNegotiateAsyncOps(true);
  requestor.on("connect", () => requestor.sendAssociationRequest(offer));
  requestor.on("networkError", (error) => console.log(`network error ${error}`));
  requestor.on("close", () => process.exit(0));
}

class Archive extends Scp {
  constructor(socket, options) {
    super(socket, options);
    this.held = [];
  }

  associationRequested(offer) {
    for (const { id } of offer.getPresentationContexts()) {
      const context = offer.getPresentationContext(id);
      const syntax = context.getTransferSyntaxUids().find((uid) => SYNTAXES.includes(uid));
      if (syntax) context.setResult(PresentationContextResult.Accept, syntax);
      else context.setResult(PresentationContextResult.RejectTransferSyntaxesNotSupported);
    }
    this.sendAssociationAccept();
  }

  // "cancel" waits for a C-CANCEL, "window" until the window is full: then the last is answered first.
  cFindRequest(request, callback) {
    const id = request.getDataset().getElement("PatientID");
    if (id === "cancel") {
      this.cancelled = () => callback([answered(responses.CFindResponse, request, Status.Cancel)]);
      return;
    }
    const pending = answered(responses.CFindResponse, request, Status.Pending, { PatientID: id });
    this.held.push(() => callback([pending, answered(responses.CFindResponse, request, Status.Success)]));
    if (this.held.length === WINDOW) while (this.held.length) this.held.pop()();
  }

  cCancelRequest() {
    this.cancelled();
  }

  cGetRequest(request, callback) {
    const store = new requests.CStoreRequest(file);
    store.on("done", () => callback(this.retrieved(responses.CGetResponse, request)));
    this.sendRequests(store);
  }

  cMoveRequest(request, callback) {
    const client = new Client();
    client.addRequest(new requests.CStoreRequest(file));
    client.on("closed", () => callback(this.retrieved(responses.CMoveResponse, request)));
    client.send("127.0.0.1", Number(destination), "DCMJS", "DEST");
  }

  retrieved(Response, request) {
    const response = answered(Response, request, Status.Success);
    response.setCompleted(1);
    return response;
  }

  nActionRequest(request, callback) {
    callback(answered(responses.NActionResponse, request, Status.Success));
    const report = event();
    report.on("response", (response) => console.log(`said ${response.getStatus()}`));
    this.sendRequests(report);
  }

  nEventReportRequest(request, callback) {
    callback(answered(responses.NEventReportResponse, request, Status.Success, { TransactionUID: "1.2.3" }));
  }

  associationReleaseRequested() {
    this.sendAssociationReleaseResponse();
  }
}

const [mode, ...rest] = process.argv.slice(2);
const [port, file, destination] = rest;
if (mode === "scu") scu(...rest);
else new Server(Archive).listen(Number(port));
