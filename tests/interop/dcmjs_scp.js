// Echo and storage SCP made with dcmjs-dimse: run as `node dcmjs_scp.js PORT DIRECTORY`.
const path = require("path");
const { Scp, Server, constants, responses } = require("dcmjs-dimse");
const { PresentationContextResult, Status, TransferSyntax } = constants;

const [port, directory] = process.argv.slice(2);
const SYNTAXES = [TransferSyntax.ImplicitVRLittleEndian, TransferSyntax.ExplicitVRLittleEndian];
let stored = 0;

class StorageScp extends Scp {
  associationRequested(association) {
    for (const { id } of association.getPresentationContexts()) {
      const context = association.getPresentationContext(id);
      const syntax = context.getTransferSyntaxUids().find((uid) => SYNTAXES.includes(uid));
      if (syntax) context.setResult(PresentationContextResult.Accept, syntax);
      else context.setResult(PresentationContextResult.RejectTransferSyntaxesNotSupported);
    }
    this.sendAssociationAccept();
  }

  cEchoRequest(request, callback) {
    const response = responses.CEchoResponse.fromRequest(request);
    response.setStatus(Status.Success);
    callback(response);
  }

  cStoreRequest(request, callback) {
    const response = responses.CStoreResponse.fromRequest(request);
    response.setStatus(Status.Success);
    request.getDataset().toFile(path.join(directory, `${++stored}.dcm`), () => callback(response));
  }

  associationReleaseRequested() {
    this.sendAssociationReleaseResponse();
  }
}

new Server(StorageScp).listen(Number(port));
