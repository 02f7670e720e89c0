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

const label: string = predictions.predictions[0].label;
const told = {
  live: live.status,
  ready: ready.status,
  figures: figures.includes("fanlight_build_info"),
  models: list.models.map((each) => each.name).sort(),
  labels: detail.card.labels,
  label,
  predictions: predictions.predictions.length,
  features: features.layers.map((each) => each.shape),
  kernels: kernels.shape,
  fields: fields.layers.length > 0,
  inputs: inputs.images.length,
  explained: explained.explanations.length,
  problem: [problem?.status, problem?.errors?.[0]?.index],
};
console.log(JSON.stringify(told));
