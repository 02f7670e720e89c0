// Examples of what the service answers, for tests.

/**
 * A layer with these properties.
 * @param {Partial<Layer>} properties
 * @returns {Layer}
 */
export const layer = properties => ({
  name: "layer",
  type: "ReLU",
  arguments: {},
  input_shape: [1, 1, 1],
  output_shape: [1, 1, 1],
  axes: ["channel", "row", "column"],
  parameters: 0,
  kernels: false,
  ...properties,
});

/**
 * A heat map with these properties.
 * @param {Partial<Explanation>} properties
 * @returns {Explanation}
 */
export const explanation = properties => ({
  target: { label: "bird", score: 0.9 },
  min: 0,
  max: 1,
  box: [0, 0, 1, 1],
  values: [[0, 1]],
  ...properties,
});

/**
 * What is told of a model, with these properties.
 * @param {Partial<ModelDetail>} properties
 * @returns {ModelDetail}
 */
export const detail = properties => ({
  card: {
    labels: ["bird", "airplane"],
    parameters: 10,
    input: { channels: 1, height: 2, width: 2, mean: [0], std: [1] },
  },
  reliance: {
    calibrated: false,
    knows_strangers: false,
    description: "No calibration.",
    expects: "",
  },
  layers: [],
  blocks: [],
  explain_methods: [],
  ...properties,
});
