// Classify what is written on a page, from a browser, over gRPC-Web: `npm run generate && npm run bundle`, and show page.html beside
// site/. The server has to be told: topicd serve --grpc-web --cors-origins https://where.the.page.is
//
// The page's address may say more: ?server=URL&title=…&text=… A token is no part of it: addresses are remembered.

import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { ClassifierService } from "./generated/topicd/v1/classifier_service_pb.js";

const told = new URLSearchParams(location.search);
const authorize = (next) => (request) => {
  if (token.value) request.header.set("authorization", `Bearer ${token.value}`);
  return next(request);
};
const baseUrl = told.get("server") ?? "http://127.0.0.1:50051";
const classifiers = createClient(ClassifierService, createGrpcWebTransport({ baseUrl, interceptors: [authorize] }));

const [token, title, text, topics] = ["token", "title", "text", "topics"].map((id) => document.getElementById(id));
async function classify() {
  try {
    const answer = await classifiers.classify({ document: { title: title.value, text: text.value } });
    topics.textContent = answer.topics.map(({ topic, probability }) => `${probability.toFixed(3)}  ${topic}`).join("\n");
  } catch (error) {
    topics.textContent = ConnectError.from(error).message;
  }
}
document.getElementById("classify").addEventListener("click", classify);
if (told.has("text")) {
  [title.value, text.value] = [told.get("title") ?? "", told.get("text")];
  await classify();
}
