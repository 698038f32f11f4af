// Command strict reads dashboards by Grafana's own Go types, strictly: a field that Grafana does not know, one
// that it needs and does not get, and a value of another type are errors. `go run . FILE…` prints what is
// wrong and exits with 1.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	plugins.RegisterDefaultPlugins()
	status := 0
	for _, file := range os.Args[1:] {
		if err := check(file); err != nil {
			fmt.Printf("%s: %s\n", file, err)
			status = 1
		}
	}
	os.Exit(status)
}

func check(file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	board := dashboard.Dashboard{}
	if err := found(board.UnmarshalJSONStrict(raw)); err != nil {
		return err
	}
	return found(board.Validate())
}

// The generated code returns an empty list of errors, which is not nil, where there are none.
func found(err error) error {
	var list cog.BuildErrors
	if errors.As(err, &list) && len(list) == 0 {
		return nil
	}
	return err
}
