// Calls every operation with the client that openapi-generator writes for TypeScript. The return types
// are asserted by the compiler; what they hold is told as JSON.
import { readFileSync } from "node:fs";
import {
  Configuration,
  HealthApi,
  LookInsideApi,
  ModelsApi,
  PredictApi,
  ResponseError,
  type Explanations,
  type Features,
  type Health,
  type Inputs,
  type Kernels,
  type ModelDetail,
  type ModelList,
  type Predictions,
  type Problem,
  type ReceptiveFields,
} from "./client/index.js";
import { tell } from "./told.js";

const [url, ...files] = process.argv.slice(2) as [string, ...string[]];
const configuration = new Configuration({ basePath: url });
const images = files.map((file) => new Blob([readFileSync(file)], { type: "image/png" }));
const model = "birds-vs-planes";

const health = new HealthApi(configuration);
const live: Health = await health.live();
const ready: Health = await health.ready();
const figures: string = await health.metrics();
const models = new ModelsApi(configuration);
const list: ModelList = await models.listModels();
const detail: ModelDetail = await models.getModel({ model });
const predictions: Predictions = await new PredictApi(configuration).predict({ model, images, topK: 1 });
const inside = new LookInsideApi(configuration);
const features: Features = await inside.features({ model, images, layer: ["stem"] });
const kernels: Kernels = await inside.kernels({ model, layer: "stem" });
const fields: ReceptiveFields = await inside.receptiveFields({ model });
const inputs: Inputs = await inside.input({ model, images });
const explained: Explanations = await inside.explain({ model, images, method: "saliency" });

let problem: Problem | undefined;
try {
  await new PredictApi(configuration).predict({ model, images: [new Blob(["broken"])] });
} catch (error) {
  if (!(error instanceof ResponseError)) throw error;
  problem = (await error.response.json()) as Problem;
}

tell({
  live,
  ready,
  figures,
  list,
  detail,
  predictions,
  features,
  kernels,
  fields,
  inputs,
  explained,
  problem,
});
