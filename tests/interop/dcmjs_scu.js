// Echo and storage SCU made with dcmjs-dimse: run as `node dcmjs_scu.js HOST PORT FILES...`.
const { Client, constants, requests } = require("dcmjs-dimse");

const [host, port, ...files] = process.argv.slice(2);
const client = new Client();
let failures = 0;

for (const request of [new requests.CEchoRequest(), ...files.map((file) => new requests.CStoreRequest(file))]) {
  request.on("response", (response) => {
    console.log(`status ${response.getStatus()}`);
    if (response.getStatus() !== constants.Status.Success) failures++;
  });
  client.addRequest(request);
}
client.on("networkError", (error) => {
  console.log(`network error ${error}`);
  process.exit(1);
});
client.on("closed", () => process.exit(failures));
client.send(host, Number(port), "DCMJS", "SCP");
