// Sends a small file with the tus client of the page: node tus_client.cjs LIBRARY ENDPOINT PARALLEL
const [library, endpoint, parallel] = process.argv.slice(2);
const { Upload } = require(library);

const file = Buffer.from(`date,amount\n${"2026-01-01,3\n".repeat(1000)}`);
const say = (outcome) => console.log(JSON.stringify(outcome));

new Upload(file, {
  endpoint,
  parallelUploads: Number(parallel),
  metadata: { filename: "a.csv", datasource_name: "sales" },
  // Those of a parallel upload's parts; by default they have none.
  metadataForPartialUploads: { filename: "a.csv", datasource_name: "sales" },
  retryDelays: null,
  onSuccess: () => say({ success: true }),
  onError: (error) =>
    say({ status: error.originalResponse?.getStatus(), body: error.originalResponse?.getBody() }),
}).start();
