// Calls every operation with the client that openapi-generator writes for Java. The return types are
// asserted by the compiler; what they hold is told as JSON.

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.HealthApi;
import org.openapitools.client.api.LookInsideApi;
import org.openapitools.client.api.ModelsApi;
import org.openapitools.client.api.PredictApi;
import org.openapitools.client.model.Explanations;
import org.openapitools.client.model.Features;
import org.openapitools.client.model.Health;
import org.openapitools.client.model.Inputs;
import org.openapitools.client.model.Kernels;
import org.openapitools.client.model.LayerFeatures;
import org.openapitools.client.model.ModelDetail;
import org.openapitools.client.model.ModelList;
import org.openapitools.client.model.ModelSummary;
import org.openapitools.client.model.Predictions;
import org.openapitools.client.model.Problem;
import org.openapitools.client.model.ReceptiveFields;

public class Generated {
  static final String MODEL = "birds-vs-planes";

  public static void main(String[] arguments) throws Exception {
    ApiClient client = new ApiClient();
    client.updateBaseUri(arguments[0]);
    ObjectMapper json = client.getObjectMapper();
    List<File> images = Stream.of(arguments[1], arguments[2]).map(File::new).toList();
    HealthApi health = new HealthApi(client);
    ModelsApi models = new ModelsApi(client);
    PredictApi predict = new PredictApi(client);
    LookInsideApi inside = new LookInsideApi(client);

    Health live = health.live();
    Health ready = health.ready();
    String figures = health.metrics();
    ModelList list = models.listModels();
    ModelDetail detail = models.getModel(MODEL, null);
    Predictions predictions = predict.predict(
        PredictApi.APIPredictRequest.newBuilder().model(MODEL).images(images).topK(1).build());
    Features features = inside.features(
        LookInsideApi.APIFeaturesRequest.newBuilder().model(MODEL).images(images).layer(List.of("stem")).build());
    Kernels kernels = inside.kernels(
        LookInsideApi.APIKernelsRequest.newBuilder().model(MODEL).layer("stem").build());
    ReceptiveFields fields = inside.receptiveFields(MODEL, null);
    Inputs inputs = inside.input(MODEL, images, null, null);
    Explanations explained = inside.explain(
        LookInsideApi.APIExplainRequest.newBuilder().model(MODEL).images(images).method("saliency").build());

    Problem problem = null;
    try {
      predict.predict(PredictApi.APIPredictRequest.newBuilder()
          .model(MODEL).images(List.of(new File(arguments[3]))).build());
    } catch (ApiException refused) {
      problem = json.readValue(refused.getResponseBody(), Problem.class);
    }

    Map<String, Object> told = new TreeMap<>();
    told.put("live", live.getStatus());
    told.put("ready", ready.getStatus());
    told.put("figures", figures.contains("fanlight_build_info"));
    told.put("models", list.getModels().stream().map(ModelSummary::getName).sorted().toList());
    told.put("labels", detail.getCard().getLabels());
    told.put("label", predictions.getPredictions().get(0).getLabel());
    told.put("predictions", predictions.getPredictions().size());
    told.put("features", features.getLayers().stream().map(LayerFeatures::getShape).toList());
    told.put("kernels", kernels.getShape());
    told.put("fields", !fields.getLayers().isEmpty());
    told.put("inputs", inputs.getImages().size());
    told.put("explained", explained.getExplanations().size());
    told.put("problem", List.of(problem.getStatus(), problem.getErrors().get(0).getIndex()));
    System.out.println(json.writeValueAsString(told));
  }
}
