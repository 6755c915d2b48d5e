// Queries and N-services with dcmjs-dimse: run as `node dcmjs_services.js scu HOST PORT` or `node dcmjs_services.js scp PORT`.
const { Client, Dataset, Scp, Server, constants, requests, responses } = require("dcmjs-dimse");
const { PresentationContextResult, Status, TransferSyntax, UserIdentityType } = constants;

const STEP = "1.2.840.10008.3.1.2.3.3";
const FILM_SESSION = "1.2.840.10008.5.1.1.1";
const PRINT = "1.2.840.10008.5.1.1.9";
const INSTANCE = "1.2.3.4";
const SYNTAXES = [TransferSyntax.ImplicitVRLittleEndian, TransferSyntax.ExplicitVRLittleEndian];

function scu(host, port) {
  const client = new Client();
  let failures = 0;
  const all = [
    requests.CFindRequest.createStudyFindRequest({ PatientID: "7" }),
    new requests.NCreateRequest(STEP, INSTANCE),
    new requests.NSetRequest(STEP, INSTANCE),
    new requests.NGetRequest(FILM_SESSION, INSTANCE, ["00100020"], PRINT),
    new requests.NActionRequest(FILM_SESSION, INSTANCE, 1, PRINT),
    new requests.NDeleteRequest(FILM_SESSION, INSTANCE, PRINT),
  ];
  for (const [number, request] of all.entries()) {
    if (number === 1 || number === 2) request.setDataset(new Dataset({ PatientID: "7" }));
    request.on("response", (response) => {
      const dataset = response.getDataset();
      console.log(`response ${number} ${response.getStatus()} ${dataset ? dataset.getElement("PatientID") : "-"}`);
      if (![Status.Success, Status.Pending].includes(response.getStatus())) failures++;
    });
    client.addRequest(request);
  }
  client.on("networkError", (error) => {
    console.log(`network error ${error}`);
    process.exit(1);
  });
  client.on("closed", () => process.exit(failures));
  const userIdentity = { type: UserIdentityType.Username, primaryField: "me", positiveResponseRequested: true };
  client.send(host, Number(port), "DCMJS", "SCP", { userIdentity });
}

class ServicesScp extends Scp {
  associationRequested(association) {
    if (association.getNegotiateUserIdentity() && association.getUserIdentityPrimaryField() === "me") {
      association.setNegotiateUserIdentityServerResponse(true);
      association.setUserIdentityServerResponse("ticket");
    }
    for (const { id } of association.getPresentationContexts()) {
      const context = association.getPresentationContext(id);
      const syntax = context.getTransferSyntaxUids().find((uid) => SYNTAXES.includes(uid));
      if (syntax) context.setResult(PresentationContextResult.Accept, syntax);
      else context.setResult(PresentationContextResult.RejectTransferSyntaxesNotSupported);
    }
    this.sendAssociationAccept();
  }

  cFindRequest(request, callback) {
    const pending = responses.CFindResponse.fromRequest(request);
    pending.setDataset(new Dataset({ PatientID: "7" }));
    pending.setStatus(Status.Pending);
    const last = responses.CFindResponse.fromRequest(request);
    last.setStatus(Status.Success);
    callback([pending, last]);
  }

  associationReleaseRequested() {
    this.sendAssociationReleaseResponse();
  }
}

for (const name of ["NCreate", "NSet", "NGet", "NAction", "NDelete", "NEventReport"]) {
  ServicesScp.prototype[`n${name.slice(1)}Request`] = function (request, callback) {
    const response = responses[`${name}Response`].fromRequest(request);
    if (name !== "NDelete") response.setDataset(new Dataset({ PatientID: "7" }));
    response.setStatus(Status.Success);
    callback(response);
  };
}

const [mode, ...rest] = process.argv.slice(2);
if (mode === "scu") scu(...rest);
else new Server(ServicesScp).listen(Number(rest[0]));
