// Calls every operation with openapi-fetch, by the types that openapi-typescript writes. The compiler
// checks paths, parameters and answers; what the answers hold is told as JSON.
import { readFileSync } from "node:fs";
import createClient from "openapi-fetch";
import type { components, paths } from "./client/types.js";
import { tell } from "./told.js";

type Schemas = components["schemas"];
type Form = Schemas["Images"];

const [url, ...files] = process.argv.slice(2) as [string, ...string[]];
const client = createClient<paths>({ baseUrl: url });
const model = "birds-vs-planes";

// The types of OpenAPI's binary parts are strings; a form takes blobs.
function form(...images: Blob[]): { body: Form; bodySerializer: () => FormData } {
  const data = new FormData();
  for (const image of images) data.append("images", image);
  return { body: { images: [] }, bodySerializer: () => data };
}

function found<Data>({ data, error }: { data?: Data; error?: unknown }): Data {
  if (data === undefined) throw new Error(JSON.stringify(error));
  return data;
}

const images = form(...files.map((file) => new Blob([readFileSync(file)], { type: "image/png" })));
const path = { model };
const live: Schemas["Health"] = found(await client.GET("/health/live"));
const ready: Schemas["Health"] = found(await client.GET("/health/ready"));
const figures: string = found(await client.GET("/metrics", { parseAs: "text" }));
const list: Schemas["ModelList"] = found(await client.GET("/v1/models"));
const detail: Schemas["ModelDetail"] = found(
  await client.GET("/v1/models/{model}", { params: { path } }),
);
const predictions: Schemas["Predictions"] = found(
  await client.POST("/v1/models/{model}/predict", { params: { path, query: { top_k: 1 } }, ...images }),
);
const features = found(
  await client.POST("/v1/models/{model}/features", {
    params: { path, query: { layer: ["stem"] } },
    ...images,
  }),
) as Schemas["Features"];
const kernels = found(
  await client.GET("/v1/models/{model}/kernels/{layer}", {
    params: { path: { model, layer: "stem" } },
  }),
) as Schemas["Kernels"];
const fields: Schemas["ReceptiveFields"] = found(
  await client.GET("/v1/models/{model}/receptive-fields", { params: { path } }),
);
const inputs = found(
  await client.POST("/v1/models/{model}/input", { params: { path }, ...images }),
) as Schemas["Inputs"];
const explained = found(
  await client.POST("/v1/models/{model}/explain", {
    params: { path, query: { method: "saliency" } },
    ...images,
  }),
) as Schemas["Explanations"];

const refused = await client.POST("/v1/models/{model}/predict", {
  params: { path },
  ...form(new Blob(["broken"])),
});
const problem: Schemas["Problem"] | undefined = refused.error;

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
