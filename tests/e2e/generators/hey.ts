// Calls every operation with the client that @hey-api/openapi-ts writes. The compiler checks parameters
// and answers; what the answers hold is told as JSON.
import { readFileSync } from "node:fs";
import { client } from "./client/client.gen.js";
import {
  explain,
  features,
  getModel,
  input,
  kernels,
  listModels,
  live,
  metrics,
  predict,
  ready,
  receptiveFields,
} from "./client/index.js";
import type {
  Explanations,
  Features,
  Health,
  Inputs,
  Kernels,
  ModelDetail,
  ModelList,
  Predictions,
  Problem,
  ReceptiveFields,
} from "./client/index.js";
import { tell } from "./told.js";

const [url, ...files] = process.argv.slice(2) as [string, ...string[]];
client.setConfig({ baseUrl: url });
const images = files.map((file) => new Blob([readFileSync(file)], { type: "image/png" }));
const path = { model: "birds-vs-planes" };
const body = { images };
const throwOnError = true;

const alive: Health = (await live({ throwOnError })).data;
const loaded: Health = (await ready({ throwOnError })).data;
const figures: string = (await metrics({ throwOnError, parseAs: "text" })).data;
const list: ModelList = (await listModels({ throwOnError })).data;
const detail: ModelDetail = (await getModel({ path, throwOnError })).data;
const predictions: Predictions = (await predict({ path, body, query: { top_k: 1 }, throwOnError })).data;
const seen = (await features({ path, body, query: { layer: ["stem"] }, throwOnError })).data as Features;
const weights = (await kernels({ path: { ...path, layer: "stem" }, throwOnError })).data as Kernels;
const fields: ReceptiveFields = (await receptiveFields({ path, throwOnError })).data;
const inputs = (await input({ path, body, throwOnError })).data as Inputs;
const explained = (await explain({ path, body, query: { method: "saliency" }, throwOnError }))
  .data as Explanations;
const refused = await predict({ path, body: { images: [new Blob(["broken"])] } });
const problem: Problem | undefined = refused.error;

tell({
  live: alive,
  ready: loaded,
  figures,
  list,
  detail,
  predictions,
  features: seen,
  kernels: weights,
  fields,
  inputs,
  explained,
  problem,
});
