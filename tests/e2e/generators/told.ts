// What the answers of all operations hold, as JSON. The compiler checks that a client's types have it.
interface Answers {
  live: { status: string };
  ready: { status: string };
  figures: string;
  list: { models: { name: string }[] };
  detail: { card: { labels: string[] } };
  predictions: { predictions: { label: string }[] };
  features: { layers: { shape: number[] }[] };
  kernels: { shape: number[] };
  fields: { layers: unknown[] };
  inputs: { images: unknown[] };
  explained: { explanations: unknown[] };
  problem: { status: number; errors?: { index: number }[] | null } | undefined;
}

export function tell(answers: Answers): void {
  const told = {
    live: answers.live.status,
    ready: answers.ready.status,
    figures: answers.figures.includes("fanlight_build_info"),
    models: answers.list.models.map((each) => each.name).sort(),
    labels: answers.detail.card.labels,
    label: answers.predictions.predictions[0]?.label,
    predictions: answers.predictions.predictions.length,
    features: answers.features.layers.map((each) => each.shape),
    kernels: answers.kernels.shape,
    fields: answers.fields.layers.length > 0,
    inputs: answers.inputs.images.length,
    explained: answers.explained.explanations.length,
    problem: [answers.problem?.status, answers.problem?.errors?.[0]?.index],
  };
  console.log(JSON.stringify(told));
}
