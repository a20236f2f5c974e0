// Classify an article over TLS with a token, from Node, with generated stubs:
//
//     npm ci && npm run generate
//     node classify.mjs https://desk.example.org:50051 ca.pem token ../articles/cup-final.txt

import { readFileSync } from "node:fs";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { ClassifierService } from "./generated/topicd/v1/classifier_service_pb.js";

const [baseUrl, ca, tokenFile, article] = process.argv.slice(2);
const token = readFileSync(tokenFile, "utf8").trim();
const authorize = (next) => (request) => {
  request.header.set("authorization", `Bearer ${token}`);
  return next(request);
};
const transport = createGrpcTransport({ baseUrl, interceptors: [authorize], nodeOptions: { ca: readFileSync(ca) } });
const classifiers = createClient(ClassifierService, transport);

// A file with the title, the date and the URL on a line each, and paragraphs after them.
const [title, _date, _url, ...text] = readFileSync(article, "utf8").split("\n");
const answer = await classifiers.classify({ document: { title, text: text.join("\n") } }, { timeoutMs: 10_000 });
for (const { topic, probability, assigned } of answer.topics) {
  console.log(`${probability.toFixed(3)}  ${topic}${assigned ? "  (assigned)" : ""}`);
}
