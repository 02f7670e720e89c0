// Calls every operation with the client that openapi-generator writes for Go. The return types are
// asserted by the compiler; what they hold is told as JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"

	"example.com/client/fanlight"
)

const model = "birds-vs-planes"

// checked returns the answer of an operation, or ends the program.
func checked[Answer any](answer Answer, _ any, err error) Answer {
	if err != nil {
		panic(err)
	}
	return answer
}

// images opens the files anew: the client closes those that it has sent.
func images(names ...string) []*os.File {
	files := []*os.File{}
	for _, name := range names {
		file, err := os.Open(name)
		files = append(files, checked(file, nil, err))
	}
	return files
}

func main() {
	configuration := fanlight.NewConfiguration()
	configuration.Servers = fanlight.ServerConfigurations{{URL: os.Args[1]}}
	client := fanlight.NewAPIClient(configuration)
	ctx, files, broken := context.Background(), os.Args[2:4], os.Args[4]
	inside := client.LookInsideAPI

	var live, ready *fanlight.Health
	live = checked(client.HealthAPI.Live(ctx).Execute())
	ready = checked(client.HealthAPI.Ready(ctx).Execute())
	var figures string = checked(client.HealthAPI.Metrics(ctx).Execute())
	var list *fanlight.ModelList = checked(client.ModelsAPI.ListModels(ctx).Execute())
	var detail *fanlight.ModelDetail = checked(client.ModelsAPI.GetModel(ctx, model).Execute())
	var predictions *fanlight.Predictions = checked(
		client.PredictAPI.Predict(ctx, model).Images(images(files...)).TopK(1).Execute())
	var features *fanlight.Features = checked(
		inside.Features(ctx, model).Images(images(files...)).Layer([]string{"stem"}).Execute())
	var kernels *fanlight.Kernels = checked(inside.Kernels(ctx, model, "stem").Execute())
	var fields *fanlight.ReceptiveFields = checked(inside.ReceptiveFields(ctx, model).Execute())
	var inputs *fanlight.Inputs = checked(inside.Input(ctx, model).Images(images(files...)).Execute())
	var explained *fanlight.Explanations = checked(
		inside.Explain(ctx, model).Images(images(files...)).Method("saliency").Execute())

	_, _, err := client.PredictAPI.Predict(ctx, model).Images(images(broken)).Execute()
	var refused *fanlight.GenericOpenAPIError
	if !errors.As(err, &refused) {
		panic("the broken image was not refused")
	}
	var problem fanlight.Problem = refused.Model().(fanlight.Problem)

	names := []string{}
	for _, each := range list.Models {
		names = append(names, each.Name)
	}
	sort.Strings(names)
	shapes := [][]int32{}
	for _, each := range features.Layers {
		shapes = append(shapes, each.Shape)
	}
	told, err := json.Marshal(map[string]any{
		"live":        live.Status,
		"ready":       ready.Status,
		"figures":     strings.Contains(figures, "fanlight_build_info"),
		"models":      names,
		"labels":      detail.Card.Labels,
		"label":       predictions.Predictions[0].Label,
		"predictions": len(predictions.Predictions),
		"features":    shapes,
		"kernels":     kernels.Shape,
		"fields":      len(fields.Layers) > 0,
		"inputs":      len(inputs.Images),
		"explained":   len(explained.Explanations),
		"problem":     []int32{problem.Status, problem.Errors[0].Index},
	})
	fmt.Println(checked(string(told), nil, err))
}
