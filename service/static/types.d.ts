// Types for the check of the page's JavaScript; browsers don't load this file.

/** A number of an answer; null where it is not finite. */
type Value = number | null;
/** Nested lists of numbers, as deep as the shape is long. */
type Nested = Value | Nested[];
type Maps = Value[][][];

interface LabelScore {
  label: string;
  score: number;
}

/** Whether to rely on an answer; empty where the model is not calibrated. */
interface Doubt {
  familiarity?: number;
  unsure?: boolean;
  why?: "unfamiliar" | "ambiguous";
  set?: string[];
  warnings?: string[];
}

interface Prediction extends LabelScore, Doubt {
  top: LabelScore[];
}

interface ModelList {
  models: { name: string; versions: { version: number; state: string }[] }[];
}

/** Four numbers: red, green, blue and opacity, or left, top, width and height. */
type Quad = [number, number, number, number];

/** A layer, or the picture, that may feed a convolution, and how to get its values. */
type Candidate = [name: string, load: () => Promise<Maps>];

type Pair = readonly [number, number];

/** How a convolution moves over its input; pairs are (rows, columns). */
interface Convolution {
  stride: Pair;
  padding: Pair | "same" | "valid";
  dilation: Pair;
  groups: number;
}

/** The kernel (C / groups, h, w) and the bias of one output channel. */
interface Weights {
  kernel: Maps;
  bias: number;
}

interface Layer {
  name: string;
  type: string;
  arguments: Partial<Convolution> & { kernel_size?: Pair };
  input_shape: number[];
  output_shape: number[];
  axes: ("channel" | "row" | "column" | "token" | "value")[];
  /** Channels, height and width of the maps that the output is, if it is any. */
  maps?: [number, number, number];
  parameters: number;
  kernels: boolean;
}

type Shaped = Pick<Layer, "maps">;

interface ExplainMethod {
  name: string;
  title: string;
  description: string;
}

interface ModelDetail {
  card: {
    labels: string[];
    parameters: number;
    input: { channels: number; height: number; width: number; mean: number[]; std: number[] };
    metrics?: Partial<
      Record<
        | "test_accuracy"
        | "test_accuracy_with_second_look"
        | "test_accuracy_95_low"
        | "test_accuracy_95_high"
        | "test_pictures",
        number
      >
    > | null;
  };
  reliance: { calibrated: boolean; knows_strangers: boolean; description: string; expects: string };
  layers: Layer[];
  blocks: Layer[];
  explain_methods: ExplainMethod[];
}

interface Activation {
  min: Value;
  max: Value;
  mean: Value;
  zeros: number;
  values: Nested[];
}

/** Which label wins where in the whole picture; the most frequent first. */
interface LabelMap {
  shares: { label: string; share: number; places: number }[];
}

interface Explanation {
  target: LabelScore;
  min: number;
  max: number;
  /** The part of the picture that the values cover. */
  box: Box;
  values: Value[][];
  convergence_delta?: Value;
  note?: string;
  map?: LabelMap;
}

/** What each resource of a model answers, by the resource's name. */
interface Answers {
  predict: { predictions: Prediction[] };
  input: { shape: number[]; images: { values: Maps; box: Box }[] };
  features: { layers: { images: Activation[] }[] };
  explain: { layer?: string; explanations: Explanation[] };
  kernels: { shape: number[]; values?: Nested[]; bias?: number[] };
  "receptive-fields": { layers: ReceptiveField[]; note?: string };
}

/** The box of pixels that a value in the middle of a layer's output depends on. */
interface ReceptiveField {
  layer: string;
  height: number;
  width: number;
  level: "low" | "middle" | "high";
}

/** Left, top, right, bottom as fractions of an image's width and height. */
type Box = readonly [number, number, number, number];

/** A resource below a model; the empty one is the model itself. */
type Resource = readonly [] | keyof Answers | readonly ["kernels", string];

type AnswerOf<R extends Resource> = R extends keyof Answers
  ? Answers[R]
  : R extends readonly []
    ? ModelDetail
    : Answers["kernels"];

/** The path of a request, with the type of its answer. */
type Target<Answer> = string & { readonly answer?: Answer };

type Simple = string | number | boolean | null | undefined;
type QueryParameters = Record<string, Simple | Simple[]>;

interface Problem {
  title?: string;
  detail?: string;
  errors?: { index: number; reason: string }[];
}

/** A picture as it came in. */
interface Given {
  name: string;
  blob: Blob;
}

/** A picture of the gallery with its elements. */
interface Picture extends Given {
  url: string;
  prediction: Prediction | null;
  error: string | null;
  card: HTMLLIElement;
  button: HTMLButtonElement;
  thumbnail: HTMLImageElement;
  told: HTMLDivElement;
}

/** Passes of an image through the network: how many are done, of how many. */
interface Progress {
  done: number;
  of: number;
}

/** A line of an answer: how far it is, or its end. */
type Line = Progress | (Problem & { status: number }) | Answers["explain"];

interface Options {
  pictures?: Given[];
  signal?: AbortSignal;
  told?: (progress: Progress) => void;
}

/** A request of pictures or none that was answered. */
interface Answered {
  target: string;
  pictures: Given[];
  milliseconds: number;
  server: string | undefined;
  batch: string | null;
}

/** How long a request took: `server` is the part in the service, `batch` the images beside it. */
type Timed = Pick<Answered, "milliseconds" | "server" | "batch"> & { pictures: unknown[] };

/** A request as a command; `secured` where it needs an API key. */
interface Command {
  url: string;
  pictures: Pick<Given, "name">[];
  secured: boolean;
}

/** A model in use; the empty version is the latest. */
interface Model {
  name: string;
  version: string;
  detail: ModelDetail;
  labels: string[];
}

/** What is looked into: `input` is what the network gets, (C, H, W) of 0 to 255. */
interface Look {
  model: Model;
  picture: Picture;
  input: Maps;
  signal: AbortSignal;
}

/** One channel of a layer that is looked into, with its values. */
interface ChannelLook extends Look {
  layer: Layer;
  channel: number;
  values: Value[][];
}

interface Place {
  x: number;
  y: number;
}

/** One input channel's part of a convolution's value. */
interface Term {
  channel: number;
  patch: number[][];
  weights: Value[][];
  sum: number;
}

/** What one model is asked about one picture; the empty target is the predicted label. */
interface Question {
  model: Model;
  picture: Picture;
  method: string;
  target: string;
  signal: AbortSignal;
}

/** The shape of a layer's weights, and the URL of their picture. */
interface Kernels {
  sides: number[];
  url: string;
}

/** A layer that is shown; `url` is the picture's, which changes while it is drawn. */
interface OpenLayer {
  layer: Layer;
  picture: Picture;
  url: string;
  maps: Maps | null;
  kernels: Kernels | null;
}

/** A line on the drawing pad. */
interface Stroke {
  width: number;
  points: Pair[];
}

type Sample = [name: string, draw: () => HTMLCanvasElement];

/** An option of a select. */
type Choice = [value: string, text: string, title?: string];

/** Of swagger-ui, which docs.html loads before docs.js. */
declare const SwaggerUIBundle: (options: Record<string, unknown>) => void;
